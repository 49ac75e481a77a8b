"""What pushing needs of the stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain import PushOutcome, ViewSpec
from app.pushing.batch import RowBatch


class OnlineWriter(Protocol):
    """An online store that keeps rule 4: never an older row over a newer one, whoever writes."""

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        """Write the view's columns of these rows; one outcome per row, in order. Raises StoreUnavailableError."""


class OfflineWriter(Protocol):
    """An offline store that rows can be appended to."""

    def append_batch(self, views: Sequence[ViewSpec], batch: RowBatch) -> None:
        """Append one row each, durably, to the batch source that the views share; all or nothing.

        Raises UnstorableRowsError that names rows which cannot be kept, and StoreUnavailableError, of which
        CommitUnknownError says that the rows may be kept.
        """

    def missing(self, views: Sequence[ViewSpec], batches: Sequence[RowBatch]) -> list[Sequence[int]]:
        """Of each batch the places of the rows that it does not have: none with the same key, event and created
        timestamp.

        Where it cannot compare created timestamps the first row of a batch speaks for all of it: one of its key and
        event timestamp is taken for it. Raises StoreUnavailableError.
        """


@dataclass(frozen=True, slots=True)
class RepairMarker:
    """Says that rows of a push source with an event timestamp >= `since`, which a server has pushed, may be offline and
    not online.

    `owed`: some certainly did not get there. `heartbeat` changes while that server lives; None: it has stopped, and
    left this to the others. Times are UTC.
    """

    server: str
    push_source: str
    since: datetime
    owed: bool
    heartbeat: datetime | None


class RepairMarkers(Protocol):
    """Where the markers of all servers of a project are kept, seen by one of them. Durable when a call returns.

    Blocks; raises StoreUnavailableError.
    """

    def save(self, push_source: str, since: datetime, owed: bool, now: datetime) -> None:
        """Keep this server's marker of a push source, instead of the one that it had."""

    def remove(self, push_source: str) -> None:
        """Forget this server's marker of a push source."""

    def leave(self, push_source: str) -> None:
        """Leave this server's marker to whoever comes first."""

    def beat(self, now: datetime) -> set[str]:
        """Show that this server lives; the push sources of which it has a marker."""

    def others(self) -> list[RepairMarker]:
        """The markers of all other servers."""

    def take_over(self, marker: RepairMarker, since: datetime, now: datetime) -> bool:
        """Remove another server's marker and keep one of this server from `since` on, in one step.

        False, and nothing changed, where the marker is not as given any more: its server lives, or somebody else was
        first.
        """


class OfflineReplay(Protocol):
    """Rows of the offline store, written online once more. Blocks; raises StoreUnavailableError."""

    def bring_online(self, view: ViewSpec, start: datetime, end: datetime) -> int:
        """Write the newest row of every entity with start <= event timestamp <= end, never over a newer one; how many
        changed something."""

    def newest_event(self, view: ViewSpec, start: datetime, end: datetime) -> datetime | None:
        """The newest event timestamp with start <= it <= end, or None."""
