"""How fresh views are in an online store that is none of ours, whoever wrote them: at the shell and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from feast.infra.online_stores.postgres_online_store import postgres as feast_store

from tests.integration.test_freshness import MINUTE, World, entered, opened, until
from tests.repos.clicks import write_repo, write_rows
from tests.servers import Postgres


@pytest.fixture
def world(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Over Feast's own store in PostgreSQL, which leaves its connections to the end of the process."""
    connect, connections = feast_store._get_conn, ExitStack()
    monkeypatch.setattr(feast_store, "_get_conn", lambda config: connections.enter_context(closing(connect(config))))
    with postgres.database() as database, connections:
        yield from entered(World(write_repo(tmp_path / "repo", database.feast_store), None), monkeypatch)


def test_what_stock_feast_materialized(world: World) -> None:
    assert world.statuses() == {"clicks": "unknown", "purchases": "unknown", "colours": "unmonitored"}
    write_rows(world.folder, "purchases", datetime.now(UTC) - MINUTE)
    world.materialize("clicks", 90 * MINUTE, 100 * MINUTE)
    assert world.statuses() == {"clicks": "stale", "purchases": "never", "colours": "unmonitored"}
    world.materialize("clicks", 10 * MINUTE)
    assert world.statuses()["clicks"] == "fresh"


@pytest.mark.full
def test_what_a_server_shows(world: World) -> None:
    with opened(world, freshness_interval=timedelta(seconds=0.5)) as client:
        assert until(client, "clicks", lambda state: state["probed_at"] is not None)["status"] == "unknown"
        world.materialize("clicks", 10 * MINUTE, 20 * MINUTE)
        found = until(client, "clicks", lambda state: state["status"] == "fresh")
    assert (found["sampled_entities"], found["last_write"]) == (2, None)
    assert 600 <= found["staleness_seconds"] < 660
