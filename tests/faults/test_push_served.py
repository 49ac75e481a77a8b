"""Reads beside pushes over HTTP, on a server of two worker processes: what was acknowledged is seen, and the newest."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.push_load import BEGINNING, Connection, Push, Reading, encode, over
from tests.faults.push_world import created
from tests.integration.server_process import FreshetServer
from tests.servers import Postgres, RedisServer

_numbers = itertools.count(1)


# Another server of two workers takes several seconds to start.
@pytest.fixture(scope="module", params=["production", pytest.param("embedded", marks=pytest.mark.full)])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[FreshetServer]:
    """Either profile; every test has sensors of its own."""
    folder: Path = tmp_path_factory.mktemp("served")
    with RedisServer() as redis, postgres.database() as database:
        servers = (database, redis) if request.param == "production" else ()
        with created(folder, *servers) as world, world.serving("--workers", "2") as server:
            server.wait_for("two workers", lambda: server.output().count("Application startup complete") == 2)
            yield server


async def value_of(connection: Connection, sensor: int) -> int | None:
    """What the sensor shows."""
    answer = await connection.ask(encode("GET", f"/v1/online-features/readings_v1?sensor_id={sensor}"))
    assert answer.status == 200, answer
    found: int | None = answer.body["features"]["value"]
    return found


async def push(connection: Connection, *readings: Reading, to: str = "online_and_offline") -> None:
    """Push, and be told that it is done."""
    answer = await connection.ask(Push(readings, to=to).encoded())
    assert answer.status == 200, answer


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(100, id="few"),
        pytest.param(500, id="many", marks=pytest.mark.full),
    ],
)
@pytest.mark.parametrize("to", ["online", "online_and_offline"])
def test_a_read_after_the_answer_to_a_push_sees_the_row(server: FreshetServer, times: int, to: str) -> None:
    """Sixteen callers, each with a sensor of its own: some pushes are grouped, and each reader may meet any worker."""

    async def call(sensor: int, pushing: Connection) -> None:
        readers = [Connection(server.url) for _ in range(3)]
        for step in range(times):
            await push(pushing, Reading(step, sensor, BEGINNING + step), to=to)
            assert await value_of(readers[step % 3], sensor) == step
        for reader in readers:
            await reader.close()

    callers = [partial(call, 1_000_000 + next(_numbers)) for _ in range(16)]
    asyncio.run(over(server.url, len(callers), callers))


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(20, id="few"),
        pytest.param(100, id="many", marks=pytest.mark.full),
    ],
)
def test_the_newest_of_fifty_racing_pushes_wins(server: FreshetServer, rounds: int) -> None:
    sensor, dice = 2_000_000 + next(_numbers), random.Random()

    async def race() -> None:
        connections = [Connection(server.url) for _ in range(50)]
        for first in range(0, rounds * 50, 50):
            order = dice.sample(range(first, first + 50), 50)
            racing = (
                push(connection, Reading(step, sensor, BEGINNING + step), to="online")
                for connection, step in zip(connections, order, strict=True)
            )
            await asyncio.gather(*racing)
            assert await value_of(dice.choice(connections), sensor) == first + 49
        for connection in connections:
            await connection.close()

    asyncio.run(race())
