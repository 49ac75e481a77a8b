"""docker-compose.yml without Docker: its commands and environments, its servers, its order; then features over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import orjson
import psycopg
import pytest
import yaml

from ingestion.sample import write_sample_events
from tests.integration.compose import COMPOSE_FILE, NativeStack
from tests.servers.composefile import ComposeError, read_compose_file
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.full  # every service has to start and to end

PASSWORD = "c0mposeS3cret"
VECTOR = "/v1/online-features/assistant_v1?user_id=u1"


@pytest.fixture(scope="module")
def stack() -> Iterator[NativeStack]:
    """The whole stack, up and healthy."""
    with NativeStack({"POSTGRES_PASSWORD": PASSWORD}) as stack:
        stack.up("api")
        yield stack


def get(stack: NativeStack, path: str) -> httpx.Response:
    return httpx.get(stack.url("api", path), timeout=60)


def test_every_service_is_up_in_the_order_of_the_file(stack: NativeStack) -> None:
    document = yaml.safe_load(COMPOSE_FILE.read_text())
    assert set(document["services"]) == set(stack.services) == {
        "postgres", "redis", "migrate", "api", "prometheus", "grafana",
    }  # fmt: skip
    migrated = stack.process("migrate").output()
    assert "Upgraded.\n" in migrated
    assert "  + feature service assistant_v1\n" in migrated
    assert get(stack, "/readyz").json()["checks"] == {
        "plans": "ok", "online_store": "ok", "metadata_database": "ok"
    }  # fmt: skip
    assert stack.process("api").output().count("Application startup complete") >= 1
    with psycopg.connect(stack.postgres("postgres").url("freshet")) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    assert {"runs", "alembic_version", "feature_views"} <= {name for (name,) in found}


@pytest.mark.full  # two more processes; tests/integration/test_commands.py runs both commands
def test_features_are_computed_materialized_and_read(stack: NativeStack) -> None:
    assert get(stack, VECTOR).json()["statuses"]["sessions_7d"] == "NOT_FOUND"
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    folder = Path(stack.environment("api")["FRESHET_DATA_DIR"])
    write_sample_events(folder / "events", today, lambda done, days: None)
    computed = stack.run("api", ["freshet", "compute"])
    assert re.search(r"user_activity: \d+ rows for 1 moments", computed.stdout), computed
    materialized = stack.run("api", ["freshet", "materialize", "--view", "user_activity"])
    assert re.search(r"user_activity: (\d+) rows read, \1 applied", materialized.stdout), materialized
    vector = get(stack, VECTOR).json()
    assert {name for name, status in vector["statuses"].items() if status == "PRESENT"} == {
        "sessions_7d", "avg_session_duration_sec", "messages_sent_7d", "tools_used_7d", "preferred_model",
        "total_tokens_7d", "tokens_per_message", "messages_per_session",
    }  # fmt: skip
    assert vector["event_timestamps"]["user_activity"] == today.isoformat().replace("+00:00", "Z")


def test_a_pushed_row_is_read_back(stack: NativeStack) -> None:
    row = {
        "user_id": "compose",
        "event_timestamp": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
        "current_session_messages": 5,
        "current_session_tokens": 900,
        "last_active_minutes_ago": 0.25,
    }
    answer = httpx.post(stack.url("api", "/v1/push/user_realtime_events"), json={"rows": [row]}, timeout=60)
    assert answer.json()["applied"] == 1
    vector = get(stack, VECTOR.replace("u1", "compose")).json()
    assert vector["features"]["current_session_messages"] == 5
    with stack.redis("redis").client() as client:
        assert client.dbsize() != 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with psycopg.connect(stack.postgres("postgres").url("freshet")) as connection:
        stored = connection.execute("SELECT current_session_tokens FROM user_realtime").fetchall()
    assert stored == [(900,)]


def test_it_stops_in_its_grace_period_and_told_nobody_the_password(stack: NativeStack) -> None:
    api, migrate = stack.process("api"), stack.process("migrate")
    # The first worker answers for both; one that is still starting has nothing to drain, and says nothing of it.
    wait_until("both workers are up", lambda: api.output().count("Application startup complete.") == 2)
    assert stack.stop("api") == 0
    lines = [orjson.loads(line) for line in api.output().splitlines()]
    assert [line["seconds"] for line in lines if line["event"] == "stopping"] == [2.0, 2.0], lines
    assert PASSWORD not in api.output() + migrate.output()
    assert stack.services["api"].stop_grace_period > 2.0 + 10.0


def test_without_a_password_it_says_so() -> None:
    with pytest.raises(ComposeError, match="POSTGRES_PASSWORD is required: put it into"):
        read_compose_file(COMPOSE_FILE, {})


def test_the_api_refuses_to_listen_for_everybody_unless_told_to(stack: NativeStack) -> None:
    service = read_compose_file(COMPOSE_FILE, {"POSTGRES_PASSWORD": PASSWORD, "FRESHET_ALLOW_ANONYMOUS": "false"})[
        "api"
    ]
    assert service.environment["FRESHET_ALLOW_ANONYMOUS"] == "false"
    refused = stack.run("api", ["env", "FRESHET_ALLOW_ANONYMOUS=false", *service.command])
    assert refused.returncode == 1
    assert re.fullmatch(r"error: Refusing to listen on 0\.0\.0\.0.*\n", refused.stderr)
