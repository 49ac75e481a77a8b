"""PostgreSQL that is killed under a server which takes pushes: a 503 or the truth, and what was acknowledged once."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from tests.faults.push_load import BEGINNING, Answer, Campaign, Connection, Push, Reading, pushes
from tests.faults.push_world import PushWorld, check_kept_once, check_not_older, created, online
from tests.integration.server_process import FreshetServer
from tests.servers import PostgresServer, RedisServer
from tests.servers.waiting import wait_until


@pytest.fixture
def world(tmp_path: Path, private_postgres: PostgresServer, private_redis: RedisServer) -> Iterator[PushWorld]:
    """The production profile over servers of its own: offline rows, keys and watermarks are all in that PostgreSQL."""
    with created(tmp_path, private_postgres.create_database("features"), private_redis) as world:
        yield world


def kill_server(postgres: PostgresServer) -> None:
    """kill -9 of all of it, and a start on the same data."""
    postgres.kill()
    postgres.start()


def kill_backend(postgres: PostgresServer) -> None:
    """kill -9 of one session that appends; the server then ends all others, and recovers by itself."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        writers = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'freshet %' ORDER BY random()"
        ).fetchall()
        for (writer,) in writers[:1]:
            os.kill(writer, signal.SIGKILL)
        with suppress(psycopg.OperationalError):  # until this session is ended, too
            connection.execute("SELECT pg_sleep(60)")


async def send_and_kill(server: FreshetServer, campaign: Campaign, kills: list[Callable[[], None]]) -> None:
    """Send the pushes, and do each of the kills at a moment of its own in the middle of them."""
    async with asyncio.TaskGroup() as group:
        group.create_task(campaign.send(server.url, until_kept=True))
        for number, kill in enumerate(kills, start=1):
            # Those without a key may be refused, but the half that has one will be kept.
            await campaign.wait_for(number * len(campaign.pushes) // (2 * len(kills) + 2))
            await asyncio.to_thread(kill)


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        pytest.param(800, 2, id="few"),
        pytest.param(10_000, 12, id="many", marks=pytest.mark.full),  # a minute or two
    ],
)
def test_what_was_acknowledged_is_there_once_however_postgresql_died(
    world: PushWorld, private_postgres: PostgresServer, count: int, kills: int
) -> None:
    # Every other push has no key: what is said of it is the last word.
    campaign = Campaign(pushes(count, random.Random(), lambda number: number % 2 == 0))
    ways = [lambda: kill_backend(private_postgres), lambda: kill_server(private_postgres)]
    # A claim that could not be given up while its database was away is taken over five beats after it was last renewed.
    with world.serving(push_timeout="3", offline_write_timeout="1", repair_interval="1") as server:
        asyncio.run(send_and_kill(server, campaign, (ways * kills)[:kills]))
        rows, kept = world.offline(), campaign.acknowledged
        check_kept_once(rows, kept)
        assert {push.key for push in campaign.pushes} == {push.key for push in kept} | {None}
        refused = [(push, answer) for push, answer in campaign if answer.status != 200]
        assert refused, "nothing was in the way of anybody"
        for push, answer in refused:
            check_truth(push, answer, {row.number for row in rows})
        check_not_older(online(server), kept)


@pytest.mark.full  # servers of its own, and then it waits for somebody not to answer
def test_a_retry_does_not_write_beside_what_goes_on_after_its_503(world: PushWorld) -> None:
    """The first try waits for a lock when it is given up; a retry that wrote, too, would double the row."""
    assert world.database is not None

    async def story(server: FreshetServer, lock: psycopg.Connection[Any]) -> None:
        first, second = Connection(server.url), Connection(server.url)
        push = Push((Reading(2, 1, BEGINNING),), "key").encoded()
        lock.execute("LOCK TABLE readings IN SHARE MODE")
        refused = await first.ask(push)
        assert "it may still take effect" in refused.body["detail"]
        for _ in range(3):  # each waits for the first for a second, and writes nothing
            waited = await second.ask(push)
            assert "still being written" in waited.body["detail"]
        lock.rollback()
        while (retry := await second.ask(push)).status != 200:
            assert "still being written" in retry.body["detail"]
        await first.close()
        await second.close()

    with world.serving(push_timeout="1", offline_write_timeout="60") as server:
        asyncio.run(Campaign([Push((Reading(1, 1, BEGINNING),))]).send(server.url))
        with psycopg.connect(world.database.url) as lock:
            asyncio.run(story(server, lock))
    assert sorted(row.number for row in world.offline()) == [1, 2]


@pytest.mark.full  # 7 s of waiting
def test_a_push_that_waits_for_longer_than_a_claim_may_be_old_is_not_taken_over(world: PushWorld) -> None:
    assert world.database is not None
    url = world.database.url
    kept = "SELECT renewed_at - claimed_at > interval '2 seconds' FROM push_keys WHERE key = 'long'"

    async def story(server: FreshetServer, lock: psycopg.Connection[Any]) -> None:
        first, second = Connection(server.url), Connection(server.url)
        push = Push((Reading(2, 1, BEGINNING),), "long").encoded()
        lock.execute("LOCK TABLE readings IN SHARE MODE")
        asked = [asyncio.create_task(connection.ask(push)) for connection in (first, second)]
        with psycopg.connect(url, autocommit=True) as watching:  # five beats are a second
            renewed = functools.partial(
                wait_until, "renewed for longer than five beats", lambda: fetched(watching, kept)
            )
            await asyncio.to_thread(renewed, 50)
        lock.rollback()
        answers = [await answer for answer in asked]
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].body == answers[1].body
        await first.close()
        await second.close()

    with world.serving(push_timeout="60", offline_write_timeout="60", repair_interval="0.2") as server:
        asyncio.run(Campaign([Push((Reading(1, 1, BEGINNING),))]).send(server.url))
        with psycopg.connect(url) as lock:
            asyncio.run(story(server, lock))
    assert sorted(row.number for row in world.offline()) == [1, 2]


def fetched(connection: psycopg.Connection[Any], query: LiteralString) -> bool:
    return connection.execute(query).fetchone() == (True,)


def check_truth(push: Push, answer: Answer, there: set[int]) -> None:
    """What a refusal says of its rows is so."""
    found, detail = {row.number for row in push.readings} & there, answer.body["detail"]
    if re.search("othing was kept|nothing of (it|this one) was done", detail):
        assert not found, detail
    else:
        assert re.search("may be kept or not|may still take effect", detail), detail
        assert len(found) in (0, len(push.readings)), detail
