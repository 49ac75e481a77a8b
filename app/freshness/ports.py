"""What freshness needs of the stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from app.domain import EntityKey, ViewSpec


@dataclass(frozen=True, slots=True)
class WriteMark:
    """What the writers of this service have left beside a view's data: what the data themselves say only in part.

    `newest` is the newest event timestamp written, never beyond the clock of who wrote it; `last_write` is when rows
    were last written, by that clock, and `rows` how many at once. All in UTC.
    """

    newest: datetime
    last_write: datetime
    rows: int


@dataclass(frozen=True, slots=True)
class ViewSample:
    """Some entities of a view as the online store has them, whoever wrote them: `keys` and, in the same order,
    `moments`, their event timestamps in microseconds since 1970 (UTC). `whole`: there are no others."""

    keys: Sequence[EntityKey]
    moments: Sequence[int]
    whole: bool = False


class OnlineSampler(Protocol):
    """An online store that can be looked into. Blocks; raises StoreUnavailableError."""

    def sample(self, views: Sequence[ViewSpec], entities: int) -> Mapping[str, ViewSample]:
        """At most `entities` entities of each view, as good as at random, by `ViewSpec.name`; a view that this store
        cannot be asked about is left out. The cost is bounded, however much else the store holds."""

    def marks(self, views: Sequence[ViewSpec]) -> Mapping[str, WriteMark]:
        """What writers have left, by `ViewSpec.name`; a view without is left out."""


class Leases(Protocol):
    """Who of a deployment's processes does what only one of them should do. Blocks; raises StoreUnavailableError."""

    def take(self, name: str, holder: str, term: timedelta, rank: int = 0) -> bool:
        """Take the lease for `term` from now, by the database's clock, or renew it. False where another has it: one
        whose term has not ended and whose rank is not lower."""

    def give_back(self, name: str, holder: str) -> None:
        """Let another take it at once."""


class Snapshots(Protocol):
    """What the holder of a lease has found, for all processes of a project. Blocks; raises StoreUnavailableError."""

    def publish(self, name: str, body: Mapping[str, Any], taken_at: datetime) -> None:
        """Keep this, JSON, instead of what was there."""

    def latest(self, name: str) -> tuple[datetime, Mapping[str, Any]] | None:
        """What was published last, and when it was taken (UTC); None where nothing was."""
