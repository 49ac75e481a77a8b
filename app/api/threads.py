"""Blocking work with a bound on how much of it there is and on how long a caller waits for it.

A thread that waits for a store that hangs cannot be stopped. What may hang therefore gets threads of its own, so that
reads, which need other stores, never wait behind it; and daemon threads, so that the end of the process does not either
(app.threads).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import structlog

from app.errors import FreshetError, StillRunningError, StoreUnavailableError
from app.threads import DaemonThreads, awaitable, in_thread

log = structlog.get_logger(__name__)

T = TypeVar("T")

_WAITING_PER_THREAD = 25


class BoundedThreads:
    """Threads for one kind of work: at most `threads` at once, a bounded number waiting, answers within `timeout`."""

    def __init__(self, name: str, threads: int, timeout: float) -> None:
        self._threads = DaemonThreads(name, threads)
        self._limit = threads * (1 + _WAITING_PER_THREAD)
        self._timeout = timeout
        self._unfinished = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises StoreUnavailableError when too much waits already, or it has not begun in time,
        and StillRunningError when it has begun and takes too long: it then goes on."""
        if self._unfinished >= self._limit:
            raise StoreUnavailableError("Too many requests wait for the stores; nothing of this one was done")
        running = self._threads.submit(work)
        self._unfinished += 1
        answer = awaitable(running)
        answer.add_done_callback(self._finish)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._timeout)
        except TimeoutError:
            # Where it has not begun yet it never will, and the caller is told so.
            late = f"The stores did not answer within {self._timeout:g} s"
            if running.cancel():
                raise StoreUnavailableError(f"{late}; nothing of it was done") from None
            raise StillRunningError(f"{late}; it may still take effect", answer) from None

    def close(self) -> None:
        """Let no more work begin."""
        self._threads.close()

    def _finish(self, _: object) -> None:
        self._unfinished -= 1


class Probe:
    """A health check that always answers: one that hangs is reported, and not started again until it ends."""

    def __init__(self, name: str, check: Callable[[], None], timeout: float = 1.0) -> None:
        self.name = name
        self._check = check
        self._timeout = timeout
        self._running: asyncio.Task[str] | None = None

    async def outcome(self) -> str:
        """`ok`, or the reason why not."""
        running = self._running
        if running is None or running.done():
            running = self._running = asyncio.create_task(in_thread(self._run))
        # Whoever asks at the same time may have begun the next one when this one ends.
        done, _ = await asyncio.wait([running], timeout=self._timeout)
        return running.result() if done else f"does not answer within {self._timeout:g} s"

    def _run(self) -> str:
        try:
            self._check()
        except FreshetError as error:
            return error.detail
        except Exception as error:  # a probe must answer whatever a driver raises
            log.warning("readiness check failed", check=self.name, error=str(error))
            return type(error).__name__
        return "ok"
