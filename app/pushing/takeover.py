"""Takeover: the markers that dead servers have left are found, and one of those that live inherits each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from app import metrics
from app.errors import FreshetError
from app.pushing.coverage import Coverage
from app.pushing.debts import Debts
from app.pushing.ports import RepairMarker, RepairMarkers
from app.threads import finish_in_thread

log = structlog.get_logger(__name__)

_BEATS = 5
"""After so many intervals without a heartbeat a server is taken for dead. To be wrong costs a repair, nothing else."""


class Takeover:
    """Looks at the markers of all servers every few seconds, for one task at a time.

    A server is dead when its heartbeat stands still while we watch, by our own clock: clocks of servers may differ by
    more than the time between two heartbeats.
    """

    def __init__(
        self,
        markers: RepairMarkers,
        coverage: Coverage,
        debts: Debts,
        interval: float,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interval`: seconds between two heartbeats, ours and those of the other servers."""
        self._markers = markers
        self._coverage = coverage
        self._debts = debts
        self._interval = interval
        self._elapsed = elapsed
        self._seen: dict[tuple[str, str], tuple[datetime, float]] = {}
        """By server and push source: the heartbeat, and when it was first seen."""
        self._failing = False

    def look(self) -> None:
        """Beat, and take over what nobody holds any more. Blocks; raises StoreUnavailableError."""
        try:
            self._coverage.beat()
            others = self._markers.others()
        except BaseException:
            # Whoever could not beat because the database was away gets its time again when it is back.
            self._seen.clear()
            raise
        now = self._elapsed()
        self._seen = {
            (marker.server, marker.push_source): self._first_seen(marker, marker.heartbeat, now)
            for marker in others
            if marker.heartbeat is not None
        }
        for marker in others:
            if self._is_left(marker, now) and self._coverage.inherit(marker):
                log.warning(
                    "another server has left rows that may not be online", push_source=marker.push_source,
                    since=marker.since.isoformat(), server=marker.server,
                )  # fmt: skip
        owed = {marker.push_source for marker in others if marker.owed or self._is_left(marker, now)}
        metrics.PUSH_REPAIRS_OWED.set(len(owed.union(self._debts.push_sources())))

    async def run(self) -> None:
        """Look every few seconds, until cancelled. What fails is logged, and tried again the next time."""
        while True:
            try:
                await finish_in_thread(self.look)
                self._failing = False
            except Exception as error:  # whatever it is, the heartbeats must not end with it
                if not self._failing:
                    reason = error.detail if isinstance(error, FreshetError) else type(error).__name__
                    log.warning("heartbeats of pushes cannot be written", reason=reason)
                self._failing = True
            await asyncio.sleep(self._interval)

    def _first_seen(self, marker: RepairMarker, heartbeat: datetime, now: float) -> tuple[datetime, float]:
        seen = self._seen.get((marker.server, marker.push_source))
        return seen if seen is not None and seen[0] == heartbeat else (heartbeat, now)

    def _is_left(self, marker: RepairMarker, now: float) -> bool:
        if marker.heartbeat is None:
            return True
        _, since = self._seen[marker.server, marker.push_source]
        return now - since >= _BEATS * self._interval
