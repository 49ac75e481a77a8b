"""Rows of the near future: kept until they are due, so that a read never meets an event that has not happened (rule 5).

They wait in this process. Where it ends before they are due, those that are kept offline too are brought online by
another server (app.pushing.coverage); those that are not are lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from app.domain import ViewSpec, to_microseconds
from app.errors import StoreUnavailableError, TooBusyError
from app.pushing.batch import RowBatch
from app.pushing.ports import OnlineWriter
from app.threads import finish_in_thread

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0

_Waiting = tuple[int, int, ViewSpec, RowBatch, int]
"""Event timestamp, number of arrival, view, and the row: a batch and the row's place in it."""


class DueRows:
    """A queue by event timestamp, emptied into the online store by one task."""

    def __init__(self, writer: OnlineWriter, clock: Callable[[], datetime], most_rows: int = 100_000) -> None:
        """Once `most_rows` wait, each counted for every view that it is for, no further push with such rows is to be
        taken on (FRESHET_PUSH_QUEUE_ROWS); see require_room."""
        self._writer = writer
        self._clock = clock
        self._most = most_rows
        self._heap: list[_Waiting] = []
        self._being_written: int | None = None
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def lowest(self) -> int | None:
        """The lowest event timestamp of a row that is not in the online store yet, or None. From any thread."""
        with self._lock:
            waiting = self._heap[0][0] if self._heap else None
            found = [event for event in (waiting, self._being_written) if event is not None]
            return min(found, default=None)

    def require_room(self, events: Sequence[int]) -> None:
        """Raises TooBusyError where too many rows wait already for one more of these event timestamps to wait."""
        if (waiting := len(self._heap)) >= self._most and max(events, default=0) > to_microseconds(self._clock()):
            raise TooBusyError(
                f"{waiting} rows ahead of the clock wait to be written already (FRESHET_PUSH_QUEUE_ROWS)"
            )

    def add(self, view: ViewSpec, batch: RowBatch, places: Sequence[int]) -> None:
        """Write the rows at these places of a batch, each when its event timestamp has come. From any thread."""
        if not places:
            return
        waiting = batch.take(places)
        with self._lock:
            for place, event in enumerate(waiting.event):
                heapq.heappush(self._heap, (event, next(self._order), view, waiting, place))
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
            wait = None if first is None else max(0.0, (first - to_microseconds(self._clock())) / 1e6)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._added.wait()

    def write_due(self) -> bool:
        """Write every row that is due; False when the store was unavailable and they wait on."""
        now = to_microseconds(self._clock())
        while due := self._take(now):
            groups: dict[tuple[str, int], list[_Waiting]] = defaultdict(list)
            for item in due:
                # Rows that came together go together; the store keeps the newest whatever the order.
                groups[item[2].stored_as, id(item[3])].append(item)
            waiting = list(groups.values())
            while waiting:
                try:
                    self._write(waiting[0])
                except StoreUnavailableError as error:
                    with self._lock:
                        for item in itertools.chain.from_iterable(waiting):
                            heapq.heappush(self._heap, item)
                        self._being_written = None
                    log.warning(
                        "rows that are due wait for the online store", rows=len(self._heap), reason=error.detail
                    )
                    return False
                waiting.pop(0)
        return True

    def _take(self, now: int) -> list[_Waiting]:
        with self._lock:
            due = []
            while self._heap and self._heap[0][0] <= now:
                due.append(heapq.heappop(self._heap))
            self._being_written = due[0][0] if due else None
            return due

    def _write(self, items: Sequence[_Waiting]) -> None:
        view, batch = items[0][2], items[0][3]
        try:
            self._writer.write(view, batch.take([item[4] for item in items]))
        except StoreUnavailableError:
            raise
        except Exception as error:  # one bad row (its view is gone, say) must not hold up the others
            if len(items) > 1:
                for item in items:
                    self._write([item])
            else:
                log.warning("a row that was due cannot be written", view=view.name, error=type(error).__name__)
