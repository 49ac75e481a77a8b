"""Threads for stores that can only be read by waiting: answers within a deadline, and a bound on what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from app.errors import StoreUnavailableError
from app.threads import DaemonThreads, awaitable

T = TypeVar("T")

_WAITING_PER_THREAD = 60


class ReadThreads:
    """At most `threads` reads at once, a bounded number waiting.

    A thread that waits for a store that hangs cannot be stopped; its caller is answered all the same.
    """

    def __init__(self, threads: int, timeout: float) -> None:
        self._threads = threads
        self._pool: DaemonThreads | None = None
        self._limit = threads * (1 + _WAITING_PER_THREAD)
        self._timeout = timeout
        self._unfinished = 0

    async def run(self, read: Callable[[], T]) -> T:
        """What `read` returns. Raises StoreUnavailableError when too much waits already, or at the deadline."""
        if self._unfinished >= self._limit:
            raise StoreUnavailableError("Too many reads wait for the online store")
        if self._pool is None:
            self._pool = DaemonThreads("read", self._threads)
        running = self._pool.submit(read)
        self._unfinished += 1
        answer = awaitable(running)
        answer.add_done_callback(self._finish)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._timeout)
        except TimeoutError:
            running.cancel()  # where it has not begun yet it never will
            message = "The online store did not answer in time (FRESHET_ONLINE_TIMEOUT)"
            raise StoreUnavailableError(message) from None

    def _finish(self, answer: asyncio.Future[T]) -> None:
        self._unfinished -= 1
        if not answer.cancelled():
            answer.exception()  # whoever asked may be gone, and asyncio complains about errors that nobody looks at

    def close(self) -> None:
        """Let no more of the work begin that has been given so far."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
