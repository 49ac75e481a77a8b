"""Redis or the server dies between the offline and the online write of a push: the row comes online by itself.

Nobody pushes again, and nobody materializes: after the fault these tests only read.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import psycopg
import pytest

from tests.faults.world import World, created
from tests.integration.server_process import serving
from tests.servers.waiting import wait_until

BOTH = "online_and_offline"
FEATURE = "current_session_messages"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests of this file. A dead server is found out within some seconds."""
    with created(tmp_path_factory.mktemp("world"), FRESHET_REPAIR_INTERVAL="0.5") as world:
        yield world


def value(world: World, user: str) -> object:
    """The feature that is read online; None where there is none, or nobody answers."""
    answer = world.read(user)
    return answer.json()["features"][FEATURE] if answer.status_code == 200 else None


def comes_online(world: World, user: str, messages: int = 3) -> None:
    """Wait until the user's row is read online."""
    world.server.wait_for(f"{user} to come online", lambda: value(world, user) == messages)


def owed(world: World) -> float:
    found = re.search(r"^freshet_push_repairs_owed (\S+)$", world.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def repaired(world: World) -> float:
    """How many rows the world's own server has repaired."""
    text = world.get("/metrics").text
    found = re.search(r'^freshet_push_repair_rows_total{push_source="user_realtime_events"} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def markers(world: World) -> list[tuple[str, bool]]:
    """Which servers have a marker, and whether they owe something."""
    with psycopg.connect(world.database.url, connect_timeout=10) as connection:
        return connection.execute("SELECT server, owed FROM push_repairs").fetchall()


@contextmanager
def second_server(world: World, folder: Path, **changed: str) -> Iterator[World]:
    """The world through another server over the same stores."""
    with serving("serve", environment={**world.environment, **changed}, folder=folder) as server:
        yield replace(world, server=server)


@contextmanager
def pushing_into_frozen_redis(world: World, user: str, later: float = 0.0) -> Iterator[Future[httpx.Response]]:
    """A push that hangs between its two writes: inside, the row is kept offline, and not online."""
    with ThreadPoolExecutor(1) as pool, world.redis.paused():
        answer = pool.submit(world.push, user, BOTH, later=later)
        wait_until("the row to be kept offline", lambda: world.offline_rows(user) == 1)
        assert not answer.done()
        yield answer


@contextmanager
def restarted_redis(world: World, empty: bool) -> Iterator[None]:
    """Redis is killed, and started again at the end, with its data or without."""
    with world.without(world.redis):
        yield
        if empty:
            forget(world)


def forget(world: World) -> None:
    workspace = world.redis.workspace
    assert workspace is not None
    files = [path for path in workspace.rglob("*") if path.suffix in (".aof", ".rdb", ".manifest")]
    assert files
    for path in files:
        path.unlink()


@pytest.mark.parametrize("empty", [False, True], ids=["with its data", "empty"])
def test_redis_killed_between_the_two_writes(world: World, empty: bool) -> None:
    user = f"killed-{empty}"
    before = repaired(world)
    with restarted_redis(world, empty):
        answer = world.push(user, BOTH)
        assert answer.status_code == 503
        assert "kept offline, and the server writes them online by itself" in answer.json()["detail"]
        world.server.wait_for("the debt to be shown", lambda: owed(world) == 1)
    comes_online(world, user)
    world.server.wait_for("the debt to be paid", lambda: owed(world) == 0)
    assert repaired(world) >= before + 1
    assert world.offline_rows(user) == 1


@pytest.mark.full  # a second server
def test_redis_killed_while_it_is_written(world: World, tmp_path: Path) -> None:
    """The server waits for an answer of Redis when it dies: what it had sent is lost."""
    with second_server(world, tmp_path, FRESHET_ONLINE_WRITE_TIMEOUT="60") as other:
        with pushing_into_frozen_redis(other, "amid") as answer:
            other.redis.kill()
            assert answer.result().status_code == 503
            other.redis.start()
        comes_online(world, "amid")


def test_a_frozen_redis_ends_with_the_row_online_and_nothing_owed(world: World) -> None:
    with world.redis.paused():
        assert world.push("frozen", BOTH).status_code == 503
        world.server.wait_for("the debt to be shown", lambda: owed(world) == 1)
    comes_online(world, "frozen")
    world.server.wait_for("the debt to be paid", lambda: owed(world) == 0)


def test_a_newer_push_is_not_undone(world: World) -> None:
    with world.without(world.redis):
        assert world.push("newer", BOTH, messages=1).status_code == 503
    assert world.push("newer", BOTH, messages=2).json()["applied"] == 1
    world.server.wait_for("the debt to be paid", lambda: owed(world) == 0)
    assert value(world, "newer") == 2


def killed_between_the_writes(world: World, folder: Path, user: str, later: float = 0.0) -> None:
    """kill -9 of a server that has kept a row offline and waits for Redis. Redis is killed too before it goes on, so
    that it never reads what the server had sent."""
    with (
        second_server(world, folder, FRESHET_ONLINE_WRITE_TIMEOUT="60") as doomed,
        pushing_into_frozen_redis(doomed, user, later) as answer,
    ):
        doomed.server.process.kill()
        with pytest.raises(httpx.TransportError):
            answer.result()
        doomed.redis.kill()
        doomed.redis.start()


def test_a_server_killed_between_the_two_writes(world: World, tmp_path: Path) -> None:
    before = repaired(world)
    killed_between_the_writes(world, tmp_path, "orphan")
    comes_online(world, "orphan")
    world.server.wait_for("the debt to be paid", lambda: owed(world) == 0)
    assert repaired(world) >= before + 1
    assert world.offline_rows("orphan") == 1


@pytest.mark.full  # the last server has to end, and another one to start
def test_a_server_that_is_started_again_repairs_what_the_killed_one_left(tmp_path: Path) -> None:
    with created(tmp_path / "world", FRESHET_REPAIR_INTERVAL="0.5", FRESHET_ONLINE_WRITE_TIMEOUT="60") as world:
        # Makes the table.
        assert world.push("before", BOTH).status_code == 200
        with pushing_into_frozen_redis(world, "orphan") as answer:
            world.server.process.kill()
            with pytest.raises(httpx.TransportError):
                answer.result()
            world.redis.kill()
            world.redis.start()
        assert len(markers(world)) == 1
        with second_server(world, tmp_path) as again:
            comes_online(again, "orphan")


@pytest.mark.full  # waits for the time of the row
def test_a_row_ahead_of_the_clock_outlives_its_server_and_comes_when_it_is_due(world: World, tmp_path: Path) -> None:
    with second_server(world, tmp_path) as doomed:
        assert doomed.push("ahead", BOTH, later=20).json()["outcomes"][0]["reason"].startswith("ahead of the clock")
        doomed.server.process.kill()
    world.server.wait_for("its marker to be taken over", lambda: owed(world) == 1)
    assert value(world, "ahead") is None
    comes_online(world, "ahead")
    event = world.read("ahead").json()["event_timestamps"]["user_realtime"]
    assert event is not None
    world.server.wait_for("the debt to be paid", lambda: owed(world) == 0)


@pytest.mark.full  # a server has to end, which takes seconds
@pytest.mark.parametrize("owing", [False, True])
def test_a_server_that_stops_in_good_order(world: World, tmp_path: Path, owing: bool) -> None:
    user = f"stopped-{owing}"
    with second_server(world, tmp_path, FRESHET_SHUTDOWN_DELAY="0") as stopping:
        mine = {server for server, _ in markers(world)}
        assert stopping.push(f"{user}-before", BOTH).status_code == 200
        (name,) = {server for server, _ in markers(world)} - mine
        if owing:
            with world.without(world.redis):
                assert stopping.push(user, BOTH).status_code == 503
                assert stopping.server.stop(signal.SIGTERM) == 0
        else:
            assert stopping.server.stop(signal.SIGTERM) == 0
            assert name not in {server for server, _ in markers(world)}
    if owing:
        comes_online(world, user)
    world.server.wait_for("its marker to be gone", lambda: name not in {server for server, _ in markers(world)})


def test_no_password_was_said(world: World) -> None:
    everything = "\n".join([world.server.output(), *world.said])
    assert "repaired from the offline store" in everything
    for password in (world.redis.password, world.postgres.password):
        assert password is not None
        assert password not in everything
