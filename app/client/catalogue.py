"""What the registry knows, and whether a server is ready, as the client tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from app.client.values import moment
from app.domain import FieldSpec


@dataclass(frozen=True)
class FeatureView:
    """A feature view. `kind` is stored, on_demand, or the class of one that is not served; `refusal` says why it cannot
    be read online, None where it can. `ttl` None: values hold for ever. docs/api.md explains the other fields."""

    name: str
    kind: str
    entities: Sequence[str]
    join_keys: Sequence[FieldSpec]
    features: Sequence[FieldSpec]
    ttl: timedelta | None
    push_source: str | None
    source: str | None
    inputs: Sequence[str]
    request_fields: Sequence[FieldSpec]
    version: str | None
    freshness_sla: str | None
    owner: str
    description: str
    tags: Mapping[str, str]
    feature_services: Sequence[str]
    refusal: str | None

    @property
    def types(self) -> dict[str, str]:
        """Feast's type by the name of a column that `read_many` gives: a join key, or `view:feature`."""
        named = {field.name: field.dtype for field in self.join_keys}
        return named | {f"{self.name}:{field.name}": field.dtype for field in self.features}

    @classmethod
    def read(cls, body: Any) -> Self:
        """From a decoded answer; members that this version does not know are left out."""
        seconds = body["ttl_seconds"]
        return cls(
            name=body["name"],
            kind=body["kind"],
            entities=tuple(body["entities"]),
            join_keys=_fields(body["join_keys"]),
            features=_fields(body["features"]),
            ttl=None if seconds is None else timedelta(seconds=seconds),
            push_source=body["push_source"],
            source=body["source"],
            inputs=tuple(body["inputs"]),
            request_fields=_fields(body["request_fields"]),
            version=body["version"],
            freshness_sla=body["freshness_sla"],
            owner=body["owner"],
            description=body["description"],
            tags=dict(body["tags"]),
            feature_services=tuple(body["feature_services"]),
            refusal=body["refusal"],
        )


@dataclass(frozen=True)
class FeatureService:
    """A feature service: the features that one model reads (`view:feature`, in order), and what a caller gives for
    them. Where `servable` is False, `refusal` says why."""

    name: str
    features: Sequence[str]
    join_keys: Sequence[FieldSpec]
    request_fields: Sequence[FieldSpec]
    servable: bool
    refusal: str | None
    owner: str
    description: str
    tags: Mapping[str, str]

    @classmethod
    def read(cls, body: Any) -> Self:
        """From a decoded answer; members that this version does not know are left out."""
        return cls(
            name=body["name"],
            features=tuple(body["features"]),
            join_keys=_fields(body["join_keys"]),
            request_fields=_fields(body["request_fields"]),
            servable=body["servable"],
            refusal=body["refusal"],
            owner=body["owner"],
            description=body["description"],
            tags=dict(body["tags"]),
        )


@dataclass(frozen=True)
class PushSource:
    """A push source, and the views that it feeds. It is complete up to `watermark`, as pushes have said, last at
    `watermark_updated_at`: aware, in UTC, None where none has said so."""

    name: str
    feature_views: Sequence[str]
    watermark: datetime | None
    watermark_updated_at: datetime | None

    @classmethod
    def read(cls, body: Any) -> Self:
        """From a decoded answer; members that this version does not know are left out."""
        return cls(
            name=body["name"],
            feature_views=tuple(body["feature_views"]),
            watermark=moment(body["watermark"]),
            watermark_updated_at=moment(body["watermark_updated_at"]),
        )


@dataclass(frozen=True)
class Readiness:
    """Whether a server may get traffic, and what each check found: `ok` or the reason. True in a condition if so."""

    ready: bool
    checks: Mapping[str, str]
    registry_age_seconds: float | None
    """Since the registry was last read; None if it never was."""

    def __bool__(self) -> bool:
        return self.ready

    @classmethod
    def read(cls, body: Any) -> Self:
        """From a decoded answer."""
        return cls(body["status"] == "ready", dict(body["checks"]), body["registry_age_seconds"])


def _fields(body: Any) -> tuple[FieldSpec, ...]:
    return tuple(FieldSpec(field["name"], field["dtype"], field["description"]) for field in body)
