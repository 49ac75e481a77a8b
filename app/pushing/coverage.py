"""Coverage: before rows are appended offline, a durable marker says that they may have yet to reach the online store.

A marker says it of every row from some event timestamp on, so that a stream of new rows needs one marker and not one
per group: the fast way through `begin` is a comparison. What is gone wrong becomes a debt (app.pushing.debts); what a
server has left behind by dying is a debt of whoever takes its marker over (app.pushing.takeover).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from app.domain import to_microseconds, to_moment
from app.errors import StoreUnavailableError
from app.pushing.debts import Debt, Debts
from app.pushing.ports import RepairMarker, RepairMarkers

log = structlog.get_logger(__name__)

_MARGIN = 300_000_000
"""A marker begins at least so many microseconds before the rows for which it is opened, for those that come after."""
_SHARE = 4
"""And at least this part of their age: rows that go ever further back, as a backfill's may, need few markers."""
_PERIOD = 60_000_000
"""Microseconds for which rows count as recent; a marker covers those of this period and the one before."""


@dataclass(eq=False, slots=True)
class Covered:
    """A group of pushes between its append and the end of its online write."""

    low: int
    debt: Debt | None = None
    """What of it has not reached the online store, as far as is known."""

    def owe(self, low: int, high: int) -> None:
        """Rows between these event timestamps may be offline and did not get online."""
        self.debt = Debt(low, high).and_(self.debt)


@dataclass(slots=True)
class _Source:
    """`since`: from where on the durable marker covers its rows, never less than it does; None: there is none."""

    since: int | None = None
    running: set[Covered] = field(default_factory=set)
    recent: int | None = None
    earlier: int | None = None

    def covers(self, low: int) -> bool:
        return self.since is not None and low >= self.since

    def floor(self) -> int | None:
        """The lowest event timestamp that has to be covered, or None."""
        lows = [self.recent, self.earlier, *(group.low for group in self.running)]
        return min((low for low in lows if low is not None), default=None)


class Coverage:
    """The markers of this process. From any thread.

    Two locks: `_lock` guards what is in memory and is held for no longer than that takes; `_writing` lets one thread at
    a time write markers, so that none is raised while another one lowers it. A marker is raised in memory first and
    lowered in the store first.
    """

    def __init__(
        self,
        markers: RepairMarkers,
        debts: Debts,
        waiting: Callable[[], int | None],
        clock: Callable[[], datetime],
    ) -> None:
        """`waiting`: the lowest event timestamp of rows that wait in this process until they are due, or None; its
        death loses them online, so they are covered until then."""
        self._markers = markers
        self._debts = debts
        self._waiting = waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._sources: dict[str, _Source] = {}
        self._written: dict[str, tuple[int, bool] | None] = {}
        """What the store has by push source: since when, and whether owed; None where that is not certain."""
        self._turned = to_microseconds(clock())

    @contextmanager
    def covering(self, push_source: str, low: int) -> Iterator[Covered]:
        """Rows from event timestamp `low` on may be appended inside; what the group then owes becomes a debt.

        Raises StoreUnavailableError where no marker can be written: then nothing may be appended. Whatever is raised
        inside makes a debt of all of it.
        """
        group = self._begin(push_source, low)
        try:
            yield group
        except BaseException:
            group.debt = Debt(low, None)
            raise
        finally:
            self._end(push_source, group)

    def beat(self) -> None:
        """Show that this process lives, and close, raise or write again what has to be. Every few seconds.

        Raises StoreUnavailableError; then the markers are as they were, or cover more than they have to.
        """
        moment = self._clock()
        now = to_microseconds(moment)
        with self._writing:
            known = self._markers.beat(moment) if self._written else set()
            for lost in self._written.keys() - known:
                self._written[lost] = None
            self._turn(now)
            for push_source in list(self._written):
                self._settle(push_source, now)

    def inherit(self, marker: RepairMarker) -> bool:
        """Take over another server's marker, whose rows become a debt; whether it could be had. Raises as `beat`."""
        push_source, low = marker.push_source, to_microseconds(marker.since)
        debt = Debt(low, None)
        with self._writing:
            with self._lock:
                since = self._source(push_source).since
            since = low if since is None else min(low, since)
            self._written[push_source] = None  # until it is written again with what is owed
            try:
                if not self._markers.take_over(marker, to_moment(since), self._clock()):
                    return False
            except StoreUnavailableError:
                # It may be ours all the same. Then nobody else pays, and to pay twice does no harm.
                self._debts.incur(push_source, debt)
                raise
            self._debts.incur(push_source, debt)
            with self._lock:
                self._source(push_source).since = since
        return True

    def release(self) -> None:
        """At the end of the process: forget the markers, and leave those to others of which something is owed. Raises
        StoreUnavailableError; the markers are then found like those of a server that died."""
        with self._writing:
            for push_source in list(self._written):
                with self._lock:
                    source = self._sources.get(push_source)
                    running = source is not None and bool(source.running)
                if running or self._waiting() is not None or self._debts.low(push_source) is not None:
                    self._markers.leave(push_source)
                else:
                    self._markers.remove(push_source)

    def _begin(self, push_source: str, low: int) -> Covered:
        group = Covered(low)
        with self._lock:
            source = self._source(push_source)
            # Before the look, so that nobody raises the marker in between.
            source.running.add(group)
            source.recent = low if source.recent is None else min(low, source.recent)
            if source.covers(low):
                return group
        try:
            self._open(push_source, low)
        except BaseException:
            with self._lock:
                source.running.discard(group)
            raise
        return group

    def _end(self, push_source: str, group: Covered) -> None:
        if group.debt is not None and self._debts.incur(push_source, group.debt):
            log.warning("rows are kept offline and owed to the online store", push_source=push_source)
        with self._lock:
            self._sources[push_source].running.discard(group)

    def _open(self, push_source: str, low: int) -> None:
        with self._writing:
            with self._lock:
                source = self._source(push_source)
                if source.covers(low):  # somebody has been here while we waited
                    return
            since = _reach(low, to_microseconds(self._clock()))
            self._save(push_source, since)
            with self._lock:
                source.since = since

    def _settle(self, push_source: str, now: int) -> None:
        """Let the store have what has to be covered, and not much more."""
        with self._lock:
            source = self._source(push_source)
            floors = [source.floor(), self._waiting(), self._debts.low(push_source)]
            floor = min((low for low in floors if low is not None), default=None)
            if floor is None:
                del self._sources[push_source]
            else:
                since = _reach(floor, now)
                if source.since is not None and source.since <= floor:
                    # Raised by whole margins, so that not every beat writes; in memory first.
                    since = source.since = since if since > source.since + _MARGIN else source.since
        if floor is None:
            self._markers.remove(push_source)
            del self._written[push_source]
            return
        self._save(push_source, since)
        with self._lock:
            source.since = since

    def _save(self, push_source: str, since: int) -> None:
        owed = self._debts.low(push_source) is not None
        if self._written.get(push_source) != (since, owed):
            self._written[push_source] = None
            self._markers.save(push_source, to_moment(since), owed, self._clock())
            self._written[push_source] = (since, owed)

    def _turn(self, now: int) -> None:
        if now - self._turned < _PERIOD:
            return
        self._turned = now
        with self._lock:
            for source in self._sources.values():
                source.earlier, source.recent = source.recent, None

    def _source(self, push_source: str) -> _Source:
        return self._sources.setdefault(push_source, _Source())


def _reach(low: int, now: int) -> int:
    return low - max(_MARGIN, (now - low) // _SHARE)
