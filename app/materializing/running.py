"""Materializations that a server runs: in threads of their own, so that no request waits behind them.

They live in this process alone. What its end cuts off leaves rows online that are right, and no record of success: the
next run begins where the last success ended.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime

import structlog

from app.domain import ViewSpec
from app.errors import FreshetError, StoreUnavailableError
from app.materializing.materialize import Materialized, Materializer
from app.threads import DaemonThreads, awaitable

log = structlog.get_logger(__name__)

_THREADS = 2
_MOST_UNFINISHED = 50
_PATIENCE = 5.0


class Materializations:
    """Runs materializations one after another in a few threads, and knows which views are at it.

    For the thread of the event loop alone.
    """

    def __init__(self, materializer: Materializer) -> None:
        self._materializer = materializer
        self._threads = DaemonThreads("materialize", _THREADS)
        self._lock = threading.Lock()
        self._views: Counter[str] = Counter()
        self._unfinished: set[Future[list[Materialized]]] = set()
        self._stopping = False

    def busy(self, views: Sequence[ViewSpec]) -> list[str]:
        """Which of these views are being materialized by this process, or wait for it."""
        with self._lock:
            return [view.name for view in views if self._views[view.name]]

    async def run(self, views: Sequence[ViewSpec], start: datetime | None, end: datetime) -> list[Materialized]:
        """Materialize the views, in order, and wait for it; without a start each since its last success.

        Raises what Materializer.materialize raises, for the first view that fails: those before it are done, those
        after it are not. Raises StoreUnavailableError where too many wait already. Goes on when cancelled.
        """
        return await awaitable(self._submit(views, start, end))

    def begin(self, views: Sequence[ViewSpec], start: datetime | None, end: datetime) -> None:
        """The same without waiting; failures are logged. Raises StoreUnavailableError where too many wait already."""
        self._submit(views, start, end).add_done_callback(functools.partial(_tell, [view.name for view in views]))

    async def close(self) -> None:
        """Let no more begin, and what runs end at its next batch of rows; wait some seconds for that.

        A thread that the end of the process cuts off inside DuckDB or Arrow would abort the process.
        """
        self._stopping = True
        self._threads.close()
        with self._lock:
            running = [awaitable(future) for future in self._unfinished]
        await asyncio.wait([asyncio.gather(*running, return_exceptions=True)], timeout=_PATIENCE)

    def _submit(self, views: Sequence[ViewSpec], start: datetime | None, end: datetime) -> Future[list[Materialized]]:
        def work() -> list[Materialized]:
            return [self._materializer.materialize(view, start, end, self._go_on) for view in views]

        if len(self._unfinished) >= _MOST_UNFINISHED:
            raise StoreUnavailableError("Too many materializations wait already; nothing of this one was done")
        names = [view.name for view in views]
        future = self._threads.submit(work)
        with self._lock:
            self._unfinished.add(future)
            self._views.update(names)
        future.add_done_callback(functools.partial(self._release, names))
        return future

    def _release(self, names: Sequence[str], future: Future[list[Materialized]]) -> None:
        with self._lock:
            self._unfinished.discard(future)
            self._views.subtract(names)

    def _go_on(self, done: int, total: int) -> None:
        if self._stopping:
            raise StoreUnavailableError("The server is stopping; the materialization has not been finished")


def _tell(names: Sequence[str], future: Future[list[Materialized]]) -> None:
    """Log how a materialization ended that nobody waits for."""
    if future.cancelled():
        return
    error = future.exception()
    if error is None:
        log.info("materialized", feature_views=names, rows=sum(result.rows for result in future.result()))
    elif isinstance(error, FreshetError):
        log.warning("materialization failed", feature_views=names, reason=error.detail)
    else:
        log.error("materialization failed", feature_views=names, exc_info=error)
