"""The board: the last snapshot in memory, for whoever in this process asks how fresh a view is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from app.domain import Catalog, ViewSpec
from app.freshness.snapshot import FreshnessSnapshot
from app.freshness.view import ViewFreshness, judge


def monitored(catalog: Catalog) -> list[ViewSpec]:
    """The views whose data are looked at: all that may be read online, whether or not they have an SLA."""
    return [view for view in catalog.views.values() if view.refusal is None]


class FreshnessBoard:
    """Joins what was found with the catalog in use and the clock at every question, so that ages grow and a view that
    left the registry is gone, even while no probe succeeds. A lookup takes microseconds and blocks nobody."""

    def __init__(self, clock: Callable[[], datetime], interval: timedelta) -> None:
        """`interval` is how often a probe should look."""
        self._clock = clock
        self.interval = interval
        self.snapshot: FreshnessSnapshot | None = None
        """The last one; None before the first. Replaced as a whole."""

    def now(self) -> datetime:
        """The time by which ages are told."""
        return self._clock()

    def of(self, view: ViewSpec, now: datetime | None = None) -> ViewFreshness:
        """How fresh a view is. A pinned version of it is unknown: the data of the version in force are others."""
        snapshot = self.snapshot
        now = self._clock() if now is None else now
        if snapshot is None or view.pinned is not None:
            return judge(view, None, None, now)
        return judge(view, snapshot.views.get(view.name), snapshot.taken_at, now)

    def all(self, views: Iterable[ViewSpec], now: datetime | None = None) -> list[ViewFreshness]:
        """How fresh these views are at one moment, the worst first."""
        now = self._clock() if now is None else now
        return sorted((self.of(view, now) for view in views), key=lambda state: state.badness)
