"""Blocking work in threads that the end of the process does not wait for.

A thread that waits for a store which hangs cannot be stopped, and Python joins the threads of every ThreadPoolExecutor,
the one of asyncio.to_thread included, before the interpreter ends: a server that was told to stop would then hang as
long as the store does. So whatever may hang runs in daemon threads, which simply end with the process. (os._exit after
uvicorn would come too late: asyncio joins its executor before uvicorn returns. It would also have to be put into the
workers that uvicorn spawns.) What is cut off that way was promised to nobody: whoever asked for it has been told that
it may or may not take effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 5.0


class DaemonThreads:
    """At most `limit` threads, each started when there is work for it; what they cannot take yet waits."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._started = 0
        self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` in one of the threads. Raises RuntimeError after `close`."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the {self._name} threads are closed")
            self._work.put((future, work))
            if not self._idle.acquire(blocking=False) and self._started < self._limit:
                self._started += 1
                threading.Thread(target=self._loop, name=f"{self._name}_{self._started}", daemon=True).start()
        return future

    def close(self) -> None:
        """Let no more work begin; what has begun goes on, and is not waited for."""
        with self._lock:
            self._closed = True
            with contextlib.suppress(queue.Empty):
                while (item := self._work.get_nowait()) is not None:
                    item[0].cancel()
            for _ in range(self._started):
                self._work.put(None)

    def _loop(self) -> None:
        while (item := self._work.get()) is not None:
            _run(*item)
            del item  # an idle thread must not keep the last result alive
            self._idle.release()


def _run(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # whoever waits for the work gets it, as from any executor
        future.set_exception(error)
    else:
        future.set_result(result)


def awaitable(future: Future[T]) -> asyncio.Future[T]:
    """A future of the running loop for one of a thread, as asyncio.wrap_future makes it, with two differences.

    Cancelling it leaves the work alone; and work that ends after the loop, as what hung may, ends in silence.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[T] = loop.create_future()

    def settle() -> None:
        if waiter.done():
            return
        if future.cancelled():
            waiter.cancel()
        elif (error := future.exception()) is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(future.result())

    def tell(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle)

    future.add_done_callback(tell)
    return waiter


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread of its own: asyncio.to_thread for work that may hang."""
    future: Future[T] = Future()
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_run, future, work), name="in_thread", daemon=True).start()
    return await awaitable(future)


async def finish_in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread; when cancelled, let it end first, if it does within some seconds.

    One that outlives its task uses stores that the shutdown has closed by then.
    """
    running = asyncio.ensure_future(in_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running], timeout=_PATIENCE)
        raise
