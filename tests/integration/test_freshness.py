"""How fresh the views are, whoever wrote them: at the shell, over HTTP, in the metrics, beside the features."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from feast import FeatureStore

from app.freshness.snapshot import FreshnessSnapshot
from app.main import create_app
from app.settings import Settings
from app.stores.metadata import open_metadata
from app.stores.snapshots import SnapshotRow, StoredSnapshots
from tests.integration.server_process import run_here
from tests.repos.clicks import write_repo, write_rows
from tests.servers import RedisServer
from tests.servers.waiting import wait_until

MINUTE = timedelta(minutes=1)
VIEWS = ["clicks", "purchases", "colours"]


@dataclass(frozen=True)
class World:
    """A repo that is applied and has no rows; everybody else's tools write it."""

    folder: Path
    redis: RedisServer | None

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find it."""
        return {"FRESHET_FEATURE_REPO": str(self.folder), "FRESHET_FRESHNESS_INTERVAL": "0.1"}

    def materialize(self, view: str, *ages: timedelta) -> None:
        """Stock Feast's materialization of the last day, in which there are rows of these ages."""
        now = datetime.now(UTC)
        write_rows(self.folder, view, *(now - age for age in ages))
        feast = FeatureStore(repo_path=str(self.folder))
        feast.materialize(now - timedelta(days=1), now, [view])
        online: Any = feast.provider.online_store
        for opened in (getattr(online, "_client", None), getattr(online, "_conn", None)):
            if opened is not None:
                opened.close()
        feast.registry.write_engine.dispose()
        feast.registry.read_engine.dispose()

    def freshness(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of the command."""
        done = run_here("freshness", *arguments, environment=self.environment)
        return done.returncode, done.stdout + done.stderr

    def statuses(self) -> dict[str, str]:
        """What the command says of each view."""
        shown = json.loads(self.freshness("--json")[1])
        return {view["feature_view"]: view["status"] for view in shown["views"]}


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Over SQLite."""
    yield from entered(World(write_repo(tmp_path / "repo"), None), monkeypatch)


@pytest.fixture
def on_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Over a Redis of its own."""
    with RedisServer() as redis:
        yield from entered(World(write_repo(tmp_path / "repo", redis.online_store), redis), monkeypatch)


@pytest.fixture(params=["embedded", "on_redis"])
def world(request: pytest.FixtureRequest) -> World:
    """Over both of our online stores."""
    found: World = request.getfixturevalue(request.param)
    return found


def entered(world: World, patch: pytest.MonkeyPatch) -> Iterator[World]:
    done = run_here("apply", environment=world.environment)
    assert done.returncode == 0, done.stderr
    # Stock Feast takes relative paths from where it runs.
    patch.chdir(world.folder)
    yield world


def opened(world: World, **changed: object) -> TestClient:
    """An application that probes ten times a second."""
    settings = Settings(
        feature_repo=world.folder, online_timeout=5.0, registry_refresh_interval=0.2,
        freshness_interval=timedelta(seconds=0.1),
    )  # fmt: skip
    return TestClient(create_app(settings.model_copy(update=changed)), raise_server_exceptions=False)


def view(client: TestClient, name: str) -> dict[str, Any]:
    response = client.get(f"/v1/freshness/{name}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def until(client: TestClient, name: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first state of a view of which it holds."""
    found: list[dict[str, Any]] = []

    def holds() -> bool:
        found.append(view(client, name))
        return condition(found[-1])

    wait_until(f"{name}: {found[-1] if found else ''}", holds)
    return found[-1]


def test_whoever_wrote_it_and_however_empty_the_last_run_was(world: World) -> None:
    assert world.statuses() == {"clicks": "never", "purchases": "never", "colours": "unmonitored"}
    assert world.freshness()[0] == 1

    world.materialize("clicks")
    assert world.statuses()["clicks"] == "never"

    world.materialize("clicks", 90 * MINUTE, 100 * MINUTE)
    world.materialize("clicks")
    assert world.statuses()["clicks"] == "stale"
    assert world.freshness("clicks")[0] == 1

    world.materialize("clicks", 10 * MINUTE)
    assert world.statuses() == {"clicks": "fresh", "purchases": "never", "colours": "unmonitored"}
    assert world.freshness("clicks")[0] == 0
    assert world.freshness("colours", "clicks")[0] == 0
    assert world.freshness("purchases", "clicks")[0] == 1


def test_the_table_and_what_cannot_be_known(on_redis: World) -> None:
    on_redis.materialize("clicks", 55 * MINUTE)

    status, text = on_redis.freshness()

    lines = [re.split(r" {2,}", line.strip()) for line in text.splitlines()]
    assert lines[0] == ["status", "feature view", "age", "SLA", "newest event (UTC)"]
    assert [line[:4] for line in lines[1:4]] == [
        ["never", "purchases", "–", "1 h"],
        ["warn", "clicks", lines[2][2], "1 h"],
        ["unmonitored", "colours", "–", "–"],
    ]
    assert lines[2][2].startswith("55 min")
    assert lines[4] == ["3 feature views, 1 without an SLA; probed now"]
    assert status == 1

    status, text = on_redis.freshness("click")
    assert (status, text.strip()) == (
        2,
        "error: There is no feature view click that is kept online. Known: clicks, colours, purchases",
    )


def test_at_the_shell_without_the_store_a_young_probe_is_better_than_nothing(on_redis: World) -> None:
    assert on_redis.redis is not None
    on_redis.materialize("clicks", 10 * MINUTE)
    with opened(on_redis, freshness_interval=MINUTE) as client:
        until(client, "clicks", lambda state: state["status"] == "fresh")
    on_redis.redis.kill()

    status, text = on_redis.freshness("clicks")
    assert re.search(
        r"fresh +clicks .*\n1 feature view, 0 without an SLA; probed \d+ s ago; now the online store", text
    )
    assert status == 0

    metadata = open_metadata(Settings(feature_repo=on_redis.folder))
    old = FreshnessSnapshot(datetime.now(UTC) - timedelta(minutes=3, seconds=1), MINUTE, MINUTE)
    with metadata.begin() as connection:
        connection.execute(sa.delete(SnapshotRow))
    StoredSnapshots(metadata, "lab").publish("freshness", old.to_json(), old.taken_at)
    metadata.close()

    status, text = on_redis.freshness("clicks")
    assert (status, text.strip()) == (2, "error: Redis does not answer (ConnectionError)")


def test_what_a_server_shows(world: World) -> None:
    world.materialize("clicks", 10 * MINUTE, 20 * MINUTE, 30 * MINUTE)
    with opened(world) as client:
        found = until(client, "clicks", lambda state: state["status"] == "fresh")
        whole = client.get("/v1/freshness").json()
        lines = client.get("/metrics").text.splitlines()

    assert 600 <= found["staleness_seconds"] < 660
    assert 1200 <= found["entity_age_seconds"]["p50"] < 1260
    assert 1800 <= found["entity_age_seconds"]["p95"] == found["entity_age_seconds"]["max"] < 1860
    assert {name: found[name] for name in ("sla_seconds", "warn_seconds", "sla_fault", "owner", "team")} == {
        "sla_seconds": 3600.0,
        "warn_seconds": 3240.0,
        "sla_fault": None,
        "owner": "ada",
        "team": "search",
    }
    assert (found["sampled_entities"], found["beyond_sla_ratio"], found["future_entities"]) == (3, 0.0, 0)
    assert [entry["feature_view"] for entry in whole["views"]] == ["purchases", "clicks", "colours"]
    assert whole["counts"] == {"stale": 0, "never": 1, "unknown": 0, "warn": 0, "fresh": 1, "unmonitored": 1}
    assert whole["probed_at"] <= whole["generated_at"]
    assert whole["probe_interval_seconds"] == 0.1
    assert 'freshet_feature_view_sla_breached{feature_view="purchases",project="lab"} 1.0' in lines
    # To Prometheus a series that begins with its first rows has not grown.
    assert 'freshet_push_rows_total{outcome="rejected",push_source="purchases_events"} 0.0' in lines
    assert 'freshet_feature_view_status{feature_view="clicks",project="lab",status="fresh"} 1.0' in lines
    (newest,) = [line for line in lines if line.startswith("freshet_feature_view_newest_event_timestamp_seconds{")]
    shown = datetime.fromisoformat(found["newest_event_timestamp"]).timestamp()
    assert float(newest.rpartition(" ")[2]) == pytest.approx(shown, abs=0.001)


def test_a_push_and_a_watermark_are_seen(world: World) -> None:
    now = datetime.now(UTC)
    with opened(world) as client:
        until(client, "clicks", lambda state: state["status"] == "never")
        row = {"user_id": 1, "number": 1, "event_timestamp": (now - 2 * 60 * MINUTE).isoformat()}
        assert client.post("/v1/push/clicks_events", json={"rows": [row], "to": "online"}).json()["applied"] == 1
        found = until(client, "clicks", lambda state: state["status"] == "stale")
        assert found["last_write_rows"] == 1
        assert abs(datetime.fromisoformat(found["last_write"]) - now) < MINUTE
        assert client.post("/v1/push/clicks_events", json={"rows": [], "watermark": now.isoformat()}).status_code == 200
        found = until(client, "clicks", lambda state: state["status"] == "fresh")
        assert datetime.fromisoformat(found["watermark"]) == now
        assert datetime.fromisoformat(found["newest_event_timestamp"]) < now - 60 * MINUTE


def test_the_freshness_of_what_was_read_comes_with_it_where_asked_for(embedded: World) -> None:
    embedded.materialize("clicks", 10 * MINUTE)
    body = {"feature_service": "counts", "entities": {"user_id": [0, 1]}}
    with opened(embedded) as client:
        until(client, "clicks", lambda state: state["status"] == "fresh")
        one = client.get("/v1/online-features/counts?user_id=0&include=freshness&full_feature_names=true").json()
        plain = client.get("/v1/online-features/counts?user_id=0&full_feature_names=true").json()
        many = client.post("/v1/online-features", json={**body, "include": ["freshness"]}).json()
        queried = client.post("/v1/online-features?include=freshness", json=body).json()
        single = {**body, "entities": {"user_id": [0]}, "include": ["freshness"]}
        of_one = client.post("/v1/online-features", json=single).json()
        unasked = client.post("/v1/online-features", json=body).json()
        refused = [
            client.get("/v1/online-features/counts?user_id=0&include=age"),
            client.post("/v1/online-features?include=age", json=body),
            client.post("/v1/online-features", json={**body, "include": ["age"]}),
        ]

    assert "freshness" not in plain
    assert "freshness" not in unasked
    assert {name: value for name, value in one.items() if name != "freshness"} == plain
    assert {name: value for name, value in many.items() if name != "freshness"} == unasked
    for answer in (one, many, queried, of_one):
        assert list(answer["freshness"]) == ["clicks", "colours"]
        assert answer["freshness"]["colours"] == {
            "status": "unmonitored", "staleness_seconds": None, "sla_seconds": None, "newest_event_timestamp": None,
        }  # fmt: skip
        clicks = answer["freshness"]["clicks"]
        assert (clicks["status"], clicks["sla_seconds"]) == ("fresh", 3600.0)
        assert 600 <= clicks["staleness_seconds"] < 660
        assert clicks["newest_event_timestamp"] == plain["event_timestamps"]["clicks"]
    assert [response.status_code for response in refused] == [422] * 3
    assert refused[0].json()["errors"] == [{"field": "include", "message": "must be one of freshness"}]
    assert refused[1].json()["errors"] == refused[0].json()["errors"]
    assert refused[2].json()["errors"][0]["field"] == "include[0]"


def test_before_the_first_probe_all_is_unknown(embedded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.freshness.monitor.Monitor.step", lambda monitor: None)
    with opened(embedded) as client:
        whole = client.get("/v1/freshness").json()
        missing = client.get("/v1/freshness/nope")

    assert whole["probed_at"] is None
    assert {entry["feature_view"]: entry["status"] for entry in whole["views"]} == {
        "clicks": "unknown",
        "purchases": "unknown",
        "colours": "unmonitored",
    }
    assert missing.status_code == 404
    assert missing.json()["detail"].endswith("Known: clicks, colours, purchases")


def test_a_tag_that_says_nothing_is_refused_and_serves_where_somebody_else_applied_it(embedded: World) -> None:
    file = embedded.folder / "definitions.py"
    broken = file.read_text(encoding="utf-8").replace('"1h"', '"hurly"')
    file.write_text(broken, encoding="utf-8")
    before = (embedded.folder / "data/registry.db").read_bytes()

    done = run_here("apply", environment=embedded.environment)

    assert done.returncode == 1
    assert "clicks: tag freshness_sla: 'hurly'" in done.stderr
    assert "purchases: tag freshness_sla: 'hurly'" in done.stderr
    assert (embedded.folder / "data/registry.db").read_bytes() == before

    embedded.materialize("clicks", 10 * MINUTE)
    feast = FeatureStore(repo_path=str(embedded.folder))
    clicks = feast.get_feature_view("clicks")
    clicks.tags = {"freshness_sla": "hurly"}
    feast.registry.apply_feature_view(clicks, "lab")
    feast.registry.write_engine.dispose()
    feast.registry.read_engine.dispose()
    with opened(embedded) as client:
        found = until(client, "clicks", lambda state: state["probed_at"] is not None)
        answer = client.get("/v1/online-features/counts?user_id=0&full_feature_names=true")
    assert answer.status_code == 200, answer.text
    assert found["status"] == "unknown"
    assert found["sla_fault"].startswith("tag freshness_sla: 'hurly' is not among daily")
