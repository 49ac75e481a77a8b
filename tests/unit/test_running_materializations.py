"""Materializations in threads: who is at it, how many may wait, and how they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain import ViewSpec
from app.errors import StoreUnavailableError
from app.materializing.materialize import Materialized
from app.materializing.running import Materializations
from tests.unit.catalogs import profile, visits

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Held:
    """A materializer that waits, batch after batch, until it is let go or told to stop."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.error = error

    def materialize(
        self, view: ViewSpec, start: datetime | None, end: datetime, progress: Callable[[int, int], None]
    ) -> Materialized:
        self.begun.release()
        for _ in range(2000):  # a bound against hanging, not an expectation
            if self.go_on.wait(0.01):
                break
            progress(0, 1)
        if self.error is not None:
            raise self.error
        return Materialized(view.name, start or end, end, 3, 3)


def over(held: Held) -> Materializations:
    materializer: Any = held
    return Materializations(materializer)


def test_a_view_is_busy_until_its_materialization_ends() -> None:
    async def scenario() -> None:
        held = Held()
        running = over(held)
        waiting = asyncio.ensure_future(running.run([profile], None, NOW))
        await asyncio.to_thread(held.begun.acquire)
        assert running.busy([visits, profile]) == ["profile"]
        held.go_on.set()
        (done,) = await waiting
        assert done.view == "profile"
        assert running.busy([visits, profile]) == []

    asyncio.run(scenario())


def test_a_failure_reaches_who_waits_and_else_the_log() -> None:
    async def scenario() -> None:
        held = Held(StoreUnavailableError("down"))
        held.go_on.set()
        running = over(held)
        with pytest.raises(StoreUnavailableError, match="down"):
            await running.run([profile], None, NOW)
        running.begin([profile], None, NOW)
        for _ in range(2):
            await asyncio.to_thread(held.begun.acquire)
        await running.close()
        assert running.busy([profile]) == []

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [(line["event"], line["reason"]) for line in logs] == [("materialization failed", "down")]


def test_the_end_of_the_server_ends_what_runs_and_what_waits() -> None:
    async def scenario() -> None:
        held = Held()
        running = over(held)
        waiting = [asyncio.ensure_future(running.run([profile], None, NOW)) for _ in range(3)]
        for _ in range(2):
            await asyncio.to_thread(held.begun.acquire)
        await running.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailableError] * 2 + [asyncio.CancelledError]
        assert running.busy([profile]) == []
        # The third never began.
        assert not held.begun.acquire(blocking=False)

    asyncio.run(scenario())


def test_only_so_many_may_wait() -> None:
    async def scenario() -> None:
        held = Held()
        running = over(held)
        for _ in range(50):
            running.begin([profile], None, NOW)
        with pytest.raises(StoreUnavailableError, match="Too many materializations"):
            running.begin([profile], None, NOW)
        await running.close()

    asyncio.run(scenario())
