"""The consistency probe of a running application: skew that is injected is found and named, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from fastapi.testclient import TestClient
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value

from app.main import create_app
from app.settings import Settings
from app.stores.keys import compile_keys
from app.stores.repo import open_repo
from tests.integration.profiles import PROFILES, Profile, opened
from tests.integration.pushes import event, push
from tests.integration.server_process import run_here
from tests.repos.skewed import write_skewed_repo
from tests.servers import Postgres, RedisServer

OFTEN = {"skew_interval": timedelta(seconds=0.2), "skew_sample": 1000}
SECONDS = 60.0


def report(client: TestClient, view: str | None = None) -> dict[str, Any]:
    """What GET /v1/skew says."""
    answer = client.get("/v1/skew", params={} if view is None else {"feature_view": view})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def next_look(client: TestClient) -> dict[str, Any]:
    """The report of a look that began after this call: the one after the next, which may have begun before."""
    seen = {report(client)["generated_at"]}
    deadline = time.monotonic() + SECONDS
    while len(seen) < 3:
        assert time.monotonic() < deadline, report(client)
        time.sleep(0.02)
        found = report(client)
        seen.add(found["generated_at"])
    return found


def of_view(found: dict[str, Any], view: str) -> dict[str, Any]:
    """What a report says of a view."""
    (one,) = [entry for entry in found["views"] if entry["feature_view"] == view]
    return dict(one)


def about(found: dict[str, Any], **entity: Any) -> list[tuple[str, str, list[str]]]:
    """The mismatches of an entity: view, kind and features."""
    return [
        (one["feature_view"], one["kind"], one["features"]) for one in found["mismatches"] if one["entity"] == entity
    ]


def mismatched(found: dict[str, Any]) -> dict[str, int]:
    """The totals of mismatches by view."""
    return {view["feature_view"]: view["mismatched"] for view in found["views"]}


@pytest.fixture(scope="module", params=PROFILES)
def data(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[tuple[Profile, RedisServer]]:
    with (
        postgres.database() as database,
        RedisServer() as redis,
        opened(request.param, tmp_path_factory.mktemp("data"), database, redis) as profile,
    ):
        yield profile, redis


@pytest.fixture(scope="module")
def client(data: tuple[Profile, RedisServer]) -> Iterator[TestClient]:
    with data[0].client(**OFTEN) as client:
        yield client


def test_what_is_materialized_and_pushed_meanwhile_is_no_skew(client: TestClient) -> None:
    before = next_look(client)
    start = datetime.now(UTC)
    for number in range(30):
        rows = [event(f"healthy-{number % 7}-{one}", start - timedelta(seconds=30 - number), one) for one in range(5)]
        push(client, *rows)
        if number % 10 == 0:
            materialized = client.post("/materialize-incremental", json={"end_ts": datetime.now(UTC).isoformat()})
            assert materialized.status_code == 200, materialized.text
    found = next_look(client)
    for view in ("user_activity", "user_realtime", "user_engagement"):
        assert of_view(found, view)["checked"] > of_view(before, view)["checked"], found
        assert of_view(found, view)["skipped_reason"] is None
    assert mismatched(found) == mismatched(before)
    assert of_view(found, "user_realtime")["lagging"] == 0


def test_the_totals_are_metrics_and_never_name_anybody(client: TestClient) -> None:
    found = next_look(client)
    text = client.get("/metrics").text
    for line in (
        'freshet_skew_checked_total{feature_view="user_activity",project="freshet"}',
        'freshet_skew_mismatch_total{feature_view="user_activity",project="freshet"}',
        'freshet_skew_probe_interval_seconds{project="freshet"} 0.2',
        'freshet_skew_probe_last_success_timestamp_seconds{project="freshet"}',
    ):
        assert line in text, text
    assert found["interval_seconds"] == 0.2
    assert "user_id" not in text


def test_one_view_alone(client: TestClient) -> None:
    found = report(client, "user_activity") if report(client)["views"] else next_look(client)
    assert [view["feature_view"] for view in report(client, "user_activity")["views"]] == ["user_activity"], found
    answer = client.get("/v1/skew", params={"feature_view": "nothing"})
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")


def test_what_is_pushed_to_one_store_alone_is_no_skew(client: TestClient) -> None:
    before, start = next_look(client), datetime.now(UTC) - timedelta(minutes=1)
    push(client, event("one-sided", start, 1))
    push(client, event("one-sided", start + timedelta(seconds=1), 2), to="offline")
    push(client, event("other-sided", start, 1), to="online")
    found = next_look(client)
    realtime = of_view(found, "user_realtime")
    assert (realtime["lagging"], realtime["ahead"]) == (1, 1), realtime
    assert mismatched(found) == mismatched(before)


@pytest.fixture
def hashes(data: tuple[Profile, RedisServer]) -> Iterator[Any]:
    """A client of the Redis that holds the rows; the embedded profile has none."""
    profile, redis = data
    if profile.name != "production":
        pytest.skip("tampered with in Redis; SQLite is read by the same probe")
    with redis_client.Redis.from_url(redis.url) as hashes:
        yield hashes


def redis_key(profile: Profile, user: str) -> bytes:
    """The key of a user's hash."""
    repo = open_repo(profile.settings)
    try:
        view = repo.store.get_feature_view("user_activity")
        from app.stores.catalog import view_spec

        spec = view_spec(view)
        encode = compile_keys(spec.join_keys, ("user_id",), repo.store.config.entity_key_serialization_version)
        (key,) = encode({"user_id": [user]}, 1)
        return bytes(key) + repo.project.encode()
    finally:
        repo.close()


def test_a_row_that_was_changed_behind_our_back_is_named_with_its_features(
    client: TestClient, data: tuple[Profile, RedisServer], hashes: Any
) -> None:
    key, before = redis_key(data[0], "u1"), next_look(client)
    fields = {name: _mmh3(f"user_activity:{name}") for name in ("sessions_7d", "preferred_model")}
    kept = {field: hashes.hget(key, field) for field in fields.values()}
    assert all(kept.values())
    hashes.hset(key, fields["sessions_7d"], Value(int64_val=987_654).SerializeToString())
    try:
        found = next_look(client)
        assert about(found, user_id="u1") == [("user_activity", "value", ["sessions_7d"])]
        # Its on-demand features have other inputs now, which says nothing of their function.
        assert mismatched(found)["user_engagement"] == mismatched(before)["user_engagement"]
        assert mismatched(found)["user_activity"] > mismatched(before)["user_activity"]
        hashes.hset(key, fields["preferred_model"], b"")
        assert about(next_look(client), user_id="u1") == [
            ("user_activity", "status" if False else "value", ["sessions_7d", "preferred_model"])
        ]
        assert "987654" not in client.get("/v1/skew").text
    finally:
        for field, value in kept.items():
            hashes.hset(key, field, value)


def test_a_row_that_is_gone_is_missing(client: TestClient, data: tuple[Profile, RedisServer], hashes: Any) -> None:
    key = redis_key(data[0], "u2")
    kept = hashes.hgetall(key)
    assert hashes.delete(key) == 1
    try:
        ((view, kind, features),) = about(next_look(client), user_id="u2")
        assert (view, kind) == ("user_activity", "missing")
        assert "sessions_7d" in features
    finally:
        hashes.hset(key, mapping=kept)


def test_a_pushed_row_that_was_changed_is_found_without_any_materialization(
    client: TestClient, data: tuple[Profile, RedisServer], hashes: Any
) -> None:
    push(client, event("pushed", datetime.now(UTC) - timedelta(seconds=1), 5))
    push(client, event("pushed-later", datetime.now(UTC) - timedelta(seconds=1), 5))
    key, field = redis_key(data[0], "pushed"), _mmh3("user_realtime:current_session_messages")
    kept = hashes.hget(key, field)
    hashes.hset(key, field, Value(int64_val=6).SerializeToString())
    try:
        assert about(next_look(client), user_id="pushed") == [("user_realtime", "value", ["current_session_messages"])]
    finally:
        hashes.hset(key, field, kept)


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An application over on-demand views that are skewed, or cannot be compared."""
    folder: Path = tmp_path_factory.mktemp("skewed")
    write_skewed_repo(folder)
    environment = {"FRESHET_FEATURE_REPO": str(folder), "FRESHET_DATA_DIR": str(folder / "data")}
    done = run_here("apply", environment=environment)
    assert done.returncode == 0, done.stderr
    settings = Settings(feature_repo=folder, data_dir=folder / "data", online_timeout=5.0, **OFTEN)  # type: ignore[arg-type]
    with TestClient(create_app(settings)) as client:
        now = datetime.now(UTC).isoformat()
        rows = [{"sensor_id": number, "value": 10 * number, "event_timestamp": now} for number in range(4)]
        assert client.post("/v1/push/events", json={"rows": rows}).status_code == 200
        yield client


def test_a_function_that_depends_on_its_neighbours_is_found(skewed: TestClient) -> None:
    found = next_look(skewed)
    assert about(found, sensor_id=1) == [("of_the_batch", "transformation", ["centred"])]
    assert of_view(found, "of_the_batch")["mismatched"] > 0
    assert of_view(found, "readings")["mismatched"] == 0


def test_a_function_of_the_instant_sees_the_same_one(skewed: TestClient) -> None:
    instant = of_view(next_look(skewed), "of_the_instant")
    assert instant["checked"] > 0
    assert (instant["mismatched"], instant["skipped_reason"]) == (0, None)


def test_what_only_callers_know_is_not_compared(skewed: TestClient) -> None:
    caller = of_view(next_look(skewed), "of_the_caller")
    assert (caller["checked"], caller["last_checked_at"]) == (0, None)
    assert "factor" in caller["skipped_reason"]
    assert 'feature_view="of_the_caller"' not in skewed.get("/metrics").text


def test_nobody_looks_where_nobody_wants_to(tmp_path: Path) -> None:
    write_skewed_repo(tmp_path)
    environment = {"FRESHET_FEATURE_REPO": str(tmp_path), "FRESHET_DATA_DIR": str(tmp_path / "data")}
    assert run_here("apply", environment=environment).returncode == 0
    settings = Settings(feature_repo=tmp_path, data_dir=tmp_path / "data", skew_interval=timedelta(0))
    with TestClient(create_app(settings)) as client:
        assert report(client) == {"generated_at": None, "interval_seconds": 0.0, "views": [], "mismatches": []}
        assert report(client, "readings")["views"] == []
