"""kill -9 of the server in the middle of concurrent pushes: what it acknowledged is in both stores, and once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.push_load import Campaign, pushes
from tests.faults.push_world import PushWorld, check_kept_once, check_not_older, created, newest, online
from tests.integration.server_process import FreshetServer
from tests.servers import Database, RedisServer


@pytest.fixture
def world(profile: str, tmp_path: Path, postgres_database: Database, private_redis: RedisServer) -> Iterator[PushWorld]:
    """Either profile; the production one over a Redis of its own."""
    servers = (postgres_database, private_redis) if profile == "production" else ()
    with created(tmp_path, *servers) as world:
        yield world


async def send_and_kill(server: FreshetServer, campaign: Campaign, after: int) -> None:
    """Send the pushes, and kill the server once so many are acknowledged."""
    async with asyncio.TaskGroup() as group:
        group.create_task(campaign.send(server.url))
        await campaign.wait_for(after)
        server.process.send(signal.SIGKILL)


@pytest.mark.parametrize(
    ("profile", "count"),
    [
        ("production", 1_000),
        pytest.param("production", 10_000, marks=pytest.mark.full),  # a minute or two each
        pytest.param("embedded", 10_000, marks=pytest.mark.full),
    ],
)
def test_what_was_acknowledged_outlives_kill_9_once_and_newest(world: PushWorld, count: int) -> None:
    dice = random.Random()
    campaign = Campaign(pushes(count, dice))
    with world.serving() as server:
        asyncio.run(send_and_kill(server, campaign, dice.randrange(count // 5, count * 4 // 5)))
        server.process.kill()
    kept = campaign.acknowledged
    assert len(kept) < count, "the server was killed after the end"
    check_kept_once(world.offline(), kept)
    # A claim of the dead server is taken over five beats after it was last renewed.
    with world.serving(push_timeout="3", offline_write_timeout="1", repair_interval="1") as server:
        shown = online(server)
        check_not_older(shown, kept)
        assert {number for number, _ in shown.values()} <= {row.number for row in world.offline()}, "not offline first"
        asyncio.run(campaign.send(server.url, until_kept=True))
        rows = world.offline()
        check_kept_once(rows, campaign.pushes)
        assert len(rows) == sum(len(push.readings) for push in campaign.pushes)
        assert online(server) == newest(rows)
