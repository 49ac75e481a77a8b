"""Threads for stores that can only be read by waiting: answers within a deadline, and a bound on what waits."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import TypeVar

from app.errors import StoreUnavailableError
from app.threads import DaemonThreads

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
        self._unfinished += 1
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        if self._pool is None:
            self._pool = DaemonThreads("read", self._threads)
        running = self._pool.submit(lambda: self._work(read, answer, loop))
        timer = loop.call_later(self._timeout, self._expire, answer)
        try:
            return await answer
        finally:
            timer.cancel()
            if running.cancel():  # it had not begun
                self._unfinished -= 1

    def _work(self, read: Callable[[], T], answer: asyncio.Future[T], loop: asyncio.AbstractEventLoop) -> None:
        finish: Callable[[], None]
        try:
            finish = functools.partial(answer.set_result, read())
        except BaseException as error:  # it is raised where the answer is awaited
            finish = functools.partial(answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._finish, answer, finish)

    def _finish(self, answer: asyncio.Future[T], finish: Callable[[], None]) -> None:
        self._unfinished -= 1
        if not answer.done():
            finish()

    @staticmethod
    def _expire(answer: asyncio.Future[T]) -> None:
        if not answer.done():
            message = "The online store did not answer in time (FRESHET_ONLINE_TIMEOUT)"
            answer.set_exception(StoreUnavailableError(message))

    def close(self) -> None:
        """Let no more of the work begin that has been given so far."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
