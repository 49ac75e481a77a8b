"""What the probe has found: totals by view and the last mismatches, as frozen values and as the JSON of a snapshot."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.values import format_timestamp

NAME = "skew"
"""Of the lease and of the snapshot."""
MOST_MISMATCHES = 100
KEPT_FOR = timedelta(days=7)
"""Mismatches name entities, who may be people."""


class Kind(enum.StrEnum):
    """In what serving and training differ."""

    VALUE = "value"
    """The same row of the offline store, other values."""
    STATUS = "status"
    """The same row, other statuses: a value against a null."""
    MISSING = "missing"
    """A materialization has passed a row of the offline store that is not online."""
    EXTRA = "extra"
    """A row is online that the offline store never had, of a view that nobody pushes to."""
    TRANSFORMATION = "transformation"
    """The inputs of an on-demand view are the same, what its function makes of them is not."""


@dataclass(frozen=True)
class Mismatch:
    """One entity that is served otherwise than it is trained on: which features, and no values.

    `entity` has the join keys, as JSON; they may say who somebody is. Times are UTC; `event_timestamp` is that of the
    row that is served, or that is missing; None for on-demand views.
    """

    feature_view: str
    entity: Mapping[str, Any]
    features: Sequence[str]
    kind: Kind
    seen_at: datetime
    event_timestamp: datetime | None = None

    @property
    def about(self) -> tuple[Any, ...]:
        """What it is about: seen again it is still the same one."""
        return (self.feature_view, *sorted(self.entity.items(), key=str))


@dataclass(frozen=True)
class ViewSkew:
    """What is known of one view. `checked` and `mismatched` count entities since the first look ever; `lagging` (rows
    that wait to be materialized), `ahead` (rows that only the online store was given) and `failing` (on which an
    on-demand function raises) those of the last look, which were not compared. `skipped_reason`: why the last look was
    none. Times are UTC."""

    feature_view: str
    checked: int = 0
    mismatched: int = 0
    lagging: int = 0
    ahead: int = 0
    failing: int = 0
    skipped_reason: str | None = None
    last_checked_at: datetime | None = None


@dataclass(frozen=True)
class SkewReport:
    """All that is known of a deployment. `success_at`: the last look at all views in which no store failed."""

    generated_at: datetime
    began_at: datetime
    success_at: datetime | None = None
    views: Mapping[str, ViewSkew] = field(default_factory=dict)
    mismatches: Sequence[Mismatch] = ()
    """The newest first, at most MOST_MISMATCHES, none older than KEPT_FOR."""

    def to_json(self) -> dict[str, Any]:
        """The body of a snapshot."""
        return {
            "generated_at": format_timestamp(self.generated_at),
            "began_at": format_timestamp(self.began_at),
            "success_at": _text(self.success_at),
            "views": [{**asdict(view), "last_checked_at": _text(view.last_checked_at)} for view in self.views.values()],
            "mismatches": [
                {
                    **asdict(one),
                    "seen_at": format_timestamp(one.seen_at),
                    "event_timestamp": _text(one.event_timestamp),
                }
                for one in self.mismatches
            ],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> SkewReport:
        """The report of a snapshot. Raises KeyError, TypeError or ValueError for what is none."""
        views = [ViewSkew(**{**view, "last_checked_at": _moment(view["last_checked_at"])}) for view in body["views"]]
        mismatches = [
            Mismatch(
                one["feature_view"],
                one["entity"],
                tuple(one["features"]),
                Kind(one["kind"]),
                datetime.fromisoformat(one["seen_at"]),
                _moment(one["event_timestamp"]),
            )
            for one in body["mismatches"]
        ]
        return cls(
            datetime.fromisoformat(body["generated_at"]),
            datetime.fromisoformat(body["began_at"]),
            _moment(body["success_at"]),
            {view.feature_view: view for view in views},
            tuple(mismatches),
        )


def newest(found: Sequence[Mismatch], known: Sequence[Mismatch], now: datetime) -> tuple[Mismatch, ...]:
    """What was found, before what was known already of other entities and seen in the last seven days."""
    kept = {one.about: one for one in known if now - one.seen_at <= KEPT_FOR}
    for one in found:
        kept.pop(one.about, None)
    return (*found, *kept.values())[:MOST_MISMATCHES]


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else format_timestamp(moment)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
