"""Rows of the near future: kept until they are due, so that a read never meets an event that has not happened (rule 5).

They wait in this process. A crash loses them online, not offline: push with `offline` what must survive one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import datetime

import structlog

from app.domain import ViewSpec, WriteRow
from app.errors import StoreUnavailableError
from app.pushing.ports import OnlineWriter
from app.threads import finish_in_thread

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0


class DueRows:
    """A queue by event timestamp, emptied into the online store by one task."""

    def __init__(self, writer: OnlineWriter, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock
        self._heap: list[tuple[datetime, int, ViewSpec, WriteRow]] = []
        self._order = itertools.count()
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, view: ViewSpec, row: WriteRow) -> None:
        """Write `row` when its event timestamp has come."""
        heapq.heappush(self._heap, (row.event_timestamp, next(self._order), view, row))
        self._added.set()

    async def run(self) -> None:
        """Write rows as they fall due, until cancelled."""
        while True:
            self._added.clear()
            if not await finish_in_thread(self.write_due):
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            wait = (self._heap[0][0] - self._clock()).total_seconds() if self._heap else None
            try:
                await asyncio.wait_for(self._added.wait(), wait)
            except TimeoutError:
                continue

    def write_due(self) -> bool:
        """Write every row that is due; False when the store was unavailable and they wait on."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            _, _, view, row = self._heap[0]
            try:
                self._writer.write(view, [row])
            except StoreUnavailableError as error:
                log.warning("rows that are due wait for the online store", rows=len(self._heap), reason=error.detail)
                return False
            heapq.heappop(self._heap)
        return True
