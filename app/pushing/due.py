"""Rows of the near future: kept until they are due, so that a read never meets an event that has not happened (rule 5).

They wait in this process, and are lost online with it, not offline: push with `offline` what must survive, and the next
materialization brings it online.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
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
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, view: ViewSpec, row: WriteRow) -> None:
        """Write `row` when its event timestamp has come. May be called from any thread."""
        with self._lock:
            heapq.heappush(self._heap, (row.event_timestamp, next(self._order), view, row))
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._added.set)

    async def run(self) -> None:
        """Write rows as they fall due, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._added.clear()
            if not await finish_in_thread(self.write_due):
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            with self._lock:
                first = self._heap[0][0] if self._heap else None
            wait = None if first is None else max(0.0, (first - self._clock()).total_seconds())
            try:
                await asyncio.wait_for(self._added.wait(), wait)
            except TimeoutError:
                continue

    def write_due(self) -> bool:
        """Write every row that is due; False when the store was unavailable and they wait on."""
        now = self._clock()
        while True:
            with self._lock:
                if not self._heap or self._heap[0][0] > now:
                    return True
                item = heapq.heappop(self._heap)
            try:
                self._writer.write(item[2], [item[3]])
            except StoreUnavailableError as error:
                with self._lock:
                    heapq.heappush(self._heap, item)
                log.warning("rows that are due wait for the online store", rows=len(self._heap), reason=error.detail)
                return False
            except Exception as error:  # one bad row (its view is gone, say) must not hold up the others
                log.warning("a row that was due cannot be written", view=item[2].name, error=type(error).__name__)
