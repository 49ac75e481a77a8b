"""The nouns of a feature server, as frozen values without I/O.

The registry adapter (app.stores.catalog) turns a Feast registry into a `Catalog`; everything that serves, pushes or
materializes works on these types alone and never sees a Feast object.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Row = Mapping[str, Any]
"""One row of native Python values by column name (see app.values for the native type of each feature type)."""


def versioned(view: str, number: int | None) -> str:
    """The name of one version of a view, `view@vN`; without a number the view's own. Feast allows no @ in names."""
    return view if number is None else f"{view}@v{number}"


class ValueStatus(enum.StrEnum):
    """What is known of one served value. Only PRESENT carries a value (unless on_stale=serve was asked for)."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    """The row is there, the value is null."""
    NOT_FOUND = "NOT_FOUND"
    """The store has no row for this entity."""
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """The row is older than the view's ttl or than the request's max_staleness."""


class PushOutcome(enum.StrEnum):
    """What became of one row."""

    APPLIED = "applied"
    LATE = "late"
    """Older than what is stored online; kept offline where that was asked for."""
    DUPLICATE = "duplicate"
    """Same timestamps and values as what is stored: harmless."""
    REJECTED = "rejected"


class PushTarget(enum.StrEnum):
    """Which stores a push writes."""

    ONLINE = "online"
    OFFLINE = "offline"
    ONLINE_AND_OFFLINE = "online_and_offline"

    @property
    def online(self) -> bool:
        """Whether the online store is written."""
        return self is not PushTarget.OFFLINE

    @property
    def offline(self) -> bool:
        """Whether the offline store is written."""
        return self is not PushTarget.ONLINE


class OnStale(enum.StrEnum):
    """What to do with a value outside its max age: null it, serve it all the same, or fail the request."""

    NULL = "null"
    SERVE = "serve"
    FAIL = "fail"


@dataclass(frozen=True)
class FieldSpec:
    """A column: its name and its type, by the name of Feast's ValueType (INT64, STRING, FLOAT_LIST...)."""

    name: str
    dtype: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EntitySpec:
    """A thing that features describe, and the join key that identifies it."""

    name: str
    join_key: str
    dtype: str
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceSpec:
    """A batch source: where the offline rows of a view are, and which of its columns carry the times."""

    name: str
    kind: str
    timestamp_field: str
    created_timestamp_column: str | None
    field_mapping: Mapping[str, str] = field(default_factory=dict)
    """Column in the source -> name in the view."""
    location: str = ""
    """Its path, table or query, as the definition says it; empty where its kind has none that is known here."""


DISABLED = "it is disabled in the registry"


@dataclass(frozen=True)
class ViewSpec:
    """A feature view. `ttl` None means that a value holds for ever; `version` is Feast's number where it keeps one.

    `pinned` is set where this is not the version in force but another, which the registry remembers by that number.
    """

    name: str
    join_keys: tuple[FieldSpec, ...]
    features: tuple[FieldSpec, ...]
    ttl: timedelta | None
    entities: tuple[str, ...] = ()
    source: SourceSpec | None = None
    push_source: str | None = None
    online: bool = True
    enabled: bool = True
    version: int | None = None
    pinned: int | None = None
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def stored_as(self) -> str:
        """What tells this definition from all others of the registry: its name, with the pinned version."""
        return versioned(self.name, self.pinned)

    @property
    def refusal(self) -> str | None:
        """Why it may not be read online, or None."""
        if not self.enabled:
            return DISABLED
        return None if self.online else "it is not kept online (online=False)"

    def feature(self, name: str) -> FieldSpec | None:
        """The feature of that name, or None."""
        return next((feature for feature in self.features if feature.name == name), None)


Transform = Callable[[Mapping[str, Sequence[Any]]], Mapping[str, Sequence[Any]]]
"""Columns in, columns out, all of one length: an on-demand transformation over a batch of rows."""


@dataclass(frozen=True)
class OnDemandSpec:
    """An on-demand feature view: features computed from other views' features and from request data."""

    name: str
    features: tuple[FieldSpec, ...]
    inputs: tuple[FeatureRef, ...]
    request_fields: tuple[FieldSpec, ...]
    transform: Transform
    limitation: str | None = None
    """What the rules of this service cannot compute about it, or None."""
    source: str = ""
    """How the function is called and its text, as the registry keeps them: what tells its versions apart."""
    enabled: bool = True
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def refusal(self) -> str | None:
        """Why it may not be computed, or None."""
        return self.limitation or (None if self.enabled else DISABLED)


_REFERENCE = re.compile(r"([^:@]+)(?:@(?:[vV]([0-9]{1,9})|(?i:latest)))?:(.+)", re.DOTALL)


@dataclass(frozen=True)
class FeatureRef:
    """One feature of one view: `view:feature`, or `view@vN:feature` for one version of it."""

    view: str
    feature: str
    version: int | None = None

    def __str__(self) -> str:
        return f"{versioned(self.view, self.version)}:{self.feature}"

    @classmethod
    def parse(cls, text: str) -> FeatureRef:
        """The reference that `text` spells, as Feast reads it: @V2 is @v2, and @latest is no version.

        Raises ValueError when it has not the form view[@vN]:feature.
        """
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a feature reference; write view:feature or view@vN:feature")
        view, number, feature = found.groups()
        return cls(view, feature, None if number is None else int(number))


@dataclass(frozen=True)
class OtherView:
    """A view of a kind that is neither stored nor on-demand: listed by its Feast class, and never served."""

    name: str
    kind: str
    features: tuple[FieldSpec, ...] = ()
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def refusal(self) -> str:
        """Why it may not be read online."""
        return f"it is a {self.kind}, a kind of view that is not supported"


@dataclass(frozen=True)
class Projection:
    """What a feature service takes of one view, under which name and with which entity columns renamed."""

    view: str
    features: tuple[str, ...]
    alias: str | None = None
    version: int | None = None
    join_key_map: Mapping[str, str] = field(default_factory=dict)
    """Join key of the view -> column that the caller gives instead."""

    @property
    def shown_as(self) -> str:
        """The view's name in responses."""
        return versioned(self.alias or self.view, self.version)


@dataclass(frozen=True)
class ServiceSpec:
    """A feature service: the features that one model reads, in the order in which it declares them."""

    name: str
    projections: tuple[Projection, ...]
    refusal: str | None = None
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalog:
    """Everything that a registry knows, at one moment. Mappings are by name, in name order."""

    project: str
    entities: Mapping[str, EntitySpec]
    views: Mapping[str, ViewSpec]
    on_demand_views: Mapping[str, OnDemandSpec]
    services: Mapping[str, ServiceSpec]
    push_sources: Mapping[str, tuple[str, ...]]
    """Push source -> the views that it feeds."""
    versions: Mapping[str, ViewSpec | OnDemandSpec] = field(default_factory=dict)
    """`view@vN` -> the definition to read under that name, for every version that the registry remembers, oldest first.
    Looking one up raises NotServableError where it cannot be read online."""
    other_views: Mapping[str, OtherView] = field(default_factory=dict)


@dataclass(frozen=True)
class EntityKey:
    """The identity of one entity: join keys and their native values, in the order of the view's join keys."""

    join_keys: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class OnlineRow:
    """What the online store holds for one entity of one view: its event timestamp (UTC) and native values."""

    event_timestamp: datetime
    values: Row


def utc(moment: datetime) -> datetime:
    """`moment` in UTC; a naive one is UTC already (rule 1)."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of a moment; a naive one is UTC."""
    age = utc(moment) - EPOCH
    return (age.days * 86_400 + age.seconds) * 1_000_000 + age.microseconds


def to_moment(microseconds: int) -> datetime:
    """The moment in UTC. Raises OverflowError for one that Python's calendar does not have."""
    return EPOCH + timedelta(microseconds=microseconds)
