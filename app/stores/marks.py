"""The mark of one write, as every store of ours keeps it: whole microseconds, and never ahead of the writer's clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain import to_moment
from app.freshness.ports import WriteMark


@dataclass(frozen=True, slots=True)
class Mark:
    """A WriteMark in microseconds since 1970 (UTC)."""

    newest: int
    last_write: int
    rows: int

    def merged(self, other: Mark) -> Mark:
        """Both marks as one: nothing moves back, and `rows` are those of the last write."""
        last = max(self, other, key=lambda mark: mark.last_write)
        return Mark(max(self.newest, other.newest), last.last_write, last.rows)

    def in_time(self) -> WriteMark:
        """The same as freshness knows it. Raises OverflowError for times that Python's calendar does not have."""
        return WriteMark(to_moment(self.newest), to_moment(self.last_write), self.rows)


def now_in_microseconds() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000


def newest_of(events: Sequence[int], now: int) -> int:
    """The newest of these event timestamps; one that is ahead of the writer's clock counts as now.

    All rows of a write may be asked, and not only those that were applied: beside a late one the store has a newer one.
    """
    return min(max(events), now)
