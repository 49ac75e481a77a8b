"""Threads for work that may hang: bounded, and left behind by a process that ends."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from app.api.threads import Probe
from app.errors import StoreUnavailableError
from app.threads import DaemonThreads, awaitable, finish_in_thread, in_thread

SECONDS = 30.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging work waits for; open at the end, whatever became of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_no_more_than_so_many_threads_and_every_work_is_done(gate: threading.Event) -> None:
    threads = DaemonThreads("test", 3)
    names: list[str] = []
    begun = threading.Semaphore(0)

    def work() -> str:
        begun.release()
        gate.wait(SECONDS)
        names.append(threading.current_thread().name)
        return "done"

    futures = [threads.submit(work) for _ in range(10)]
    assert [begun.acquire(timeout=SECONDS) for _ in range(3)] == [True] * 3
    assert sum(future.running() for future in futures) == 3
    gate.set()
    assert [future.result(SECONDS) for future in futures] == ["done"] * 10
    assert len(set(names)) <= 3
    threads.close()


def test_idle_threads_are_used_again() -> None:
    threads = DaemonThreads("test", 8)
    names = set()
    for _ in range(20):
        names.add(threads.submit(lambda: threading.current_thread().name).result(SECONDS))
    # The next one may come before the last has put itself down as idle.
    assert len(names) < 8
    threads.close()


def test_closed_threads_drop_what_has_not_begun_and_take_no_more(gate: threading.Event) -> None:
    threads = DaemonThreads("test", 1)
    begun = threading.Event()

    def work() -> bool:
        begun.set()
        return gate.wait(SECONDS)

    running = threads.submit(work)
    assert begun.wait(SECONDS)
    waiting = threads.submit(lambda: None)
    threads.close()
    with pytest.raises(CancelledError):
        waiting.result(SECONDS)
    with pytest.raises(RuntimeError, match="closed"):
        threads.submit(lambda: None)
    gate.set()
    assert running.result(SECONDS) is True


async def _fails() -> None:
    def work() -> None:
        raise StoreUnavailableError("gone")

    await in_thread(work)


def test_an_error_reaches_whoever_waits() -> None:
    with pytest.raises(StoreUnavailableError, match="gone"):
        asyncio.run(_fails())


def test_a_cancelled_task_lets_its_work_end_first(gate: threading.Event) -> None:
    done = threading.Event()

    async def cancel() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            if gate.wait(SECONDS):
                done.set()

        task = asyncio.create_task(finish_in_thread(work))
        await begun.wait()
        task.cancel()
        loop.call_later(0.05, gate.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()

    asyncio.run(cancel())


def test_work_that_ends_after_its_loop_ends_in_silence(gate: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    threads = DaemonThreads("test", 1)

    async def leave() -> None:
        awaitable(future)

    future = threads.submit(lambda: gate.wait(SECONDS))
    asyncio.run(leave())
    with caplog.at_level(logging.DEBUG):
        gate.set()
        assert future.result(SECONDS) is True
        # Callbacks come after waiters; the one thread takes this only when it is through with them.
        threads.submit(lambda: None).result(SECONDS)
    assert caplog.records == []
    threads.close()


_PROGRAM = """
import asyncio, threading
from app.api.threads import BoundedThreads, Probe
from app.errors import StoreUnavailableError
from app.threads import finish_in_thread

async def main():
    forever = threading.Event()
    threads = BoundedThreads("push", 2, 0.05)
    try:
        await threads.run(forever.wait)
    except StoreUnavailableError as error:
        print(error.detail)
    print(await Probe("store", forever.wait, 0.05).outcome())
    task = asyncio.create_task(finish_in_thread(forever.wait))
    await asyncio.sleep(0.05)
    threads.close()
    task.cancel()

asyncio.run(main())
print("the end")
"""


def test_a_process_ends_although_its_threads_hang() -> None:
    """A push, a probe and a background task, each with a store that never answers."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "The stores did not answer within 0.05 s; it may still take effect",
        "does not answer within 0.05 s",
        "the end",
    ]


def test_those_who_ask_at_once_are_all_answered() -> None:
    """One may begin the next check in the very turn of the loop in which the last one ended."""

    async def ask() -> list[str]:
        probe = Probe("store", lambda: None)

        async def again_and_again() -> list[str]:
            return [await probe.outcome() for _ in range(100)]

        return [word for words in await asyncio.gather(*(again_and_again() for _ in range(8))) for word in words]

    assert set(asyncio.run(ask())) == {"ok"}
