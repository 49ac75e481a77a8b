"""The monitor: who probes, what is shown when something fails, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.errors import StoreUnavailableError
from app.freshness.board import FreshnessBoard
from app.freshness.monitor import SERVER, WORKER, Monitor
from app.freshness.snapshot import FreshnessSnapshot

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
INTERVAL = timedelta(seconds=30)


class World:
    """Implements app.freshness.ports.Leases and Snapshots, in memory and by a clock of its own, for both of which
    `down` may be set; and counts looks, by monitor."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.down = False
        self.lease: tuple[str, int, float] = ("", 0, 0.0)
        self.published: tuple[datetime, Mapping[str, Any]] | None = None
        self.looks: list[str] = []
        self.failing: dict[str, Exception] = {}

    def monitor(self, name: str, rank: int = SERVER) -> tuple[Monitor, FreshnessBoard]:
        """A process of the deployment."""
        board = FreshnessBoard(lambda: NOW, INTERVAL)

        def look(before: FreshnessSnapshot | None) -> FreshnessSnapshot:
            self.looks.append(name)
            if name in self.failing:
                raise self.failing[name]
            return FreshnessSnapshot(NOW + timedelta(seconds=self.now), INTERVAL, timedelta(0), {})

        return Monitor(board, look, self, self, rank, lambda: self.now), board

    def take(self, name: str, holder: str, term: timedelta, rank: int = 0) -> bool:
        """See the protocol."""
        self._require()
        owner, owners_rank, end = self.lease
        if owner == holder or end <= self.now or owners_rank < rank:
            self.lease = (holder, rank, self.now + term.total_seconds())
            return True
        return False

    def give_back(self, name: str, holder: str) -> None:
        """See the protocol."""
        self._require()
        if self.lease[0] == holder:
            self.lease = (holder, self.lease[1], 0.0)

    def publish(self, name: str, body: Mapping[str, Any], taken_at: datetime) -> None:
        """See the protocol."""
        self._require()
        self.published = (taken_at, body)

    def latest(self, name: str) -> tuple[datetime, Mapping[str, Any]] | None:
        """See the protocol."""
        self._require()
        return self.published

    def _require(self) -> None:
        if self.down:
            raise StoreUnavailableError("the database is down")


@pytest.fixture
def world() -> World:
    return World()


def test_one_probes_and_all_show_it(world: World) -> None:
    (one, ones), (two, twos) = world.monitor("one"), world.monitor("two")

    for _ in range(3):
        one.step()
        two.step()
        world.now += 5

    assert world.looks == ["one"]
    assert ones.snapshot is not None
    assert ones.snapshot == twos.snapshot


def test_the_holder_probes_once_an_interval(world: World) -> None:
    one, _ = world.monitor("one")

    for _ in range(13):
        one.step()
        world.now += 5

    assert world.looks == ["one"] * 3


def test_a_worker_is_preferred_and_a_server_takes_over_when_it_is_gone(world: World) -> None:
    (server, shown), (worker, _) = world.monitor("server"), world.monitor("worker", WORKER)
    server.step()
    worker.step()
    for _ in range(17):
        world.now += 5
        server.step()
    assert world.looks == ["server", "worker"]

    world.now += 5  # the term of the dead worker ends
    server.step()

    assert world.looks == ["server", "worker", "server"]
    assert shown.snapshot is not None
    assert shown.snapshot.taken_at == NOW + timedelta(seconds=world.now)


def test_a_lease_that_is_given_back_is_free_at_once(world: World) -> None:
    (one, _), (two, _) = world.monitor("one"), world.monitor("two")
    one.step()
    one.give_back()
    one.give_back()
    two.step()

    assert world.looks == ["one", "two"]


def test_who_cannot_probe_lets_others_try_and_keeps_what_was_found(world: World) -> None:
    (worker, seen), (server, _) = world.monitor("worker", WORKER), world.monitor("server")
    worker.step()
    found = seen.snapshot
    world.failing["worker"] = StoreUnavailableError("Redis does not answer")
    world.now += 30
    with capture_logs() as logs:
        worker.step()
        assert seen.snapshot == found
        server.step()
        world.now += 5
        worker.step()
        world.now += 30
        worker.step()
    assert world.looks == ["worker", "worker", "server", "worker"]
    assert [entry["reason"] for entry in logs] == ["Redis does not answer"]

    world.failing.clear()
    world.now += 30
    with capture_logs() as logs:
        worker.step()
        world.now += 30
        worker.step()
    assert [entry["event"] for entry in logs] == ["freshness probe is there again"]


def test_a_database_that_is_down_leaves_the_last_state_and_is_told_once(world: World) -> None:
    one, board = world.monitor("one")
    one.step()
    found = board.snapshot
    world.down = True
    with capture_logs() as logs:
        for _ in range(10):
            world.now += 5
            one.step()
    assert board.snapshot is found
    assert world.looks == ["one"]
    assert [entry["reason"] for entry in logs] == ["the database is down"] * 2  # the lease, and the snapshot

    world.down = False
    one.step()
    assert world.looks == ["one", "one"]
    assert board.snapshot is not found


def test_a_snapshot_of_another_version_is_no_snapshot(world: World) -> None:
    one, board = world.monitor("one")
    world.lease = ("another", 0, 10_000.0)
    world.published = (NOW, {"version": 7})
    with capture_logs() as logs:
        one.step()
        one.step()
    assert board.snapshot is None
    assert [entry["reason"] for entry in logs] == ["ValueError"]


def test_a_thread_stops_at_once_and_gives_the_lease_back(world: World) -> None:
    one, _ = world.monitor("one")
    looked = threading.Event()
    look = one._look

    def looking(before: FreshnessSnapshot | None) -> FreshnessSnapshot:
        looked.set()
        return look(before)

    one._look = looking
    thread = threading.Thread(target=one.run_until_stopped)
    thread.start()
    assert looked.wait(30)
    one.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert world.lease[2] == 0.0


def test_one_that_is_stopped_before_it_began_does_nothing(world: World) -> None:
    one, _ = world.monitor("one")
    one.stop()
    one.run_until_stopped(3600)

    assert world.looks == []


def test_a_server_gives_the_lease_back_and_waits_for_no_database_that_hangs(world: World) -> None:
    one, _ = world.monitor("one")
    hanging, published = threading.Event(), threading.Event()
    publish = world.publish

    def publishing(name: str, body: Mapping[str, Any], taken_at: datetime) -> None:
        publish(name, body, taken_at)
        published.set()

    world.publish = publishing  # type: ignore[method-assign]

    async def live() -> None:
        running = asyncio.create_task(one.run())
        assert await asyncio.to_thread(published.wait, 30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await one.close()

    asyncio.run(live())
    assert world.lease[2] == 0.0

    two, _ = world.monitor("two")
    two.step()
    world.give_back = lambda name, holder: hanging.wait(30) and None  # type: ignore[assignment, method-assign]
    asyncio.run(asyncio.wait_for(two.close(), 20))
    hanging.set()
