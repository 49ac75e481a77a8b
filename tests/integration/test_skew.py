"""The consistency probe of a running application: skew that is injected is found and named, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis as redis_client
from fastapi.testclient import TestClient
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value

from app.stores.catalog import view_spec
from app.stores.keys import compile_keys
from app.stores.repo import open_repo
from tests.integration.profiles import PROFILES, Profile, opened
from tests.integration.pushes import event, push
from tests.integration.skew_reports import OFTEN, about, mismatched, next_look, of_view, report
from tests.servers import Postgres, RedisServer


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
    start = datetime.now(UTC) - timedelta(minutes=1)
    for number in range(20):
        rows = [event(f"healthy-{number % 7}-{one}", start + timedelta(seconds=number), one) for one in range(5)]
        push(client, *rows)
        if number % 10 == 0:
            materialized = client.post("/materialize-incremental", json={"end_ts": datetime.now(UTC).isoformat()})
            assert materialized.status_code == 200, materialized.text
    push(client, event("one-sided", start, 1))
    push(client, event("one-sided", start + timedelta(seconds=1), 2), to="offline")
    push(client, event("other-sided", start, 1), to="online")
    found = next_look(client)
    for view in ("user_activity", "user_realtime", "user_engagement"):
        assert of_view(found, view)["checked"] > of_view(before, view)["checked"], found
        assert of_view(found, view)["skipped_reason"] is None
    assert mismatched(found) == mismatched(before)
    # What was pushed to one store alone waits for the other.
    realtime = of_view(found, "user_realtime")
    assert (realtime["lagging"], realtime["ahead"]) == (1, 1), realtime


def test_the_totals_are_metrics_and_never_name_anybody(client: TestClient) -> None:
    found = report(client) if report(client)["views"] else next_look(client)
    text = client.get("/metrics").text
    for line in (
        'freshet_skew_checked_total{feature_view="user_activity",project="freshet"}',
        'freshet_skew_mismatch_total{feature_view="user_activity",project="freshet"}',
        'freshet_skew_last_checked_timestamp_seconds{feature_view="user_activity",project="freshet"}',
        'freshet_skew_probe_interval_seconds{project="freshet"} 0.2',
        'freshet_skew_probe_last_success_timestamp_seconds{project="freshet"}',
    ):
        assert line in text, text
    assert found["interval_seconds"] == 0.2
    assert "user_id" not in text


def test_one_view_alone(client: TestClient) -> None:
    if not report(client)["views"]:
        next_look(client)
    assert [view["feature_view"] for view in report(client, "user_activity")["views"]] == ["user_activity"]
    answer = client.get("/v1/skew", params={"feature_view": "nothing"})
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")


in_redis = pytest.mark.parametrize("data", ["production"], indirect=True)
"""The embedded profile has no Redis to tamper with; the same probe reads it."""


@pytest.fixture
def hashes(data: tuple[Profile, RedisServer]) -> Iterator[Any]:
    """A client of the Redis that holds the rows."""
    with redis_client.Redis.from_url(data[1].url) as hashes:
        yield hashes


def redis_key(profile: Profile, user: str) -> bytes:
    """The key of a user's hash."""
    repo = open_repo(profile.settings)
    try:
        spec = view_spec(repo.store.get_feature_view("user_activity"))
        encode = compile_keys(spec.join_keys, ("user_id",), repo.store.config.entity_key_serialization_version)
        (key,) = encode({"user_id": [user]}, 1)
        return bytes(key) + repo.project.encode()
    finally:
        repo.close()


@in_redis
def test_what_is_changed_or_removed_behind_our_back_is_named_with_its_features(
    client: TestClient, data: tuple[Profile, RedisServer], hashes: Any
) -> None:
    start, before = datetime.now(UTC) - timedelta(seconds=5), report(client)
    push(client, event("pushed", start, 5), event("later", start + timedelta(seconds=1), 5))
    keys = {user: redis_key(data[0], user) for user in ("u1", "u2", "u3", "pushed")}
    kept = {key: hashes.hgetall(key) for key in keys.values()}
    assert all(kept.values())
    changed = Value(int64_val=987_654).SerializeToString()
    hashes.hset(keys["u1"], _mmh3("user_activity:messages_sent_7d"), changed)
    assert hashes.delete(keys["u2"]) == 1
    hashes.hset(keys["u3"], _mmh3("user_activity:preferred_model"), b"")
    # Nothing was ever materialized of this view: its rows are pushed.
    hashes.hset(keys["pushed"], _mmh3("user_realtime:current_session_messages"), changed)
    try:
        found = next_look(client)
    finally:
        for key, fields in kept.items():
            hashes.hset(key, mapping=fields)
    # The on-demand features have other inputs now, which says nothing of their function.
    assert about(found, user_id="u1") == [("user_activity", "value", ["messages_sent_7d"])]
    ((view, kind, features),) = about(found, user_id="u2")
    assert (view, kind) == ("user_activity", "missing")
    assert "sessions_7d" in features
    assert about(found, user_id="u3") == [("user_activity", "status", ["preferred_model"])]
    assert about(found, user_id="pushed") == [("user_realtime", "value", ["current_session_messages"])]
    grown = {view: number for view, number in mismatched(found).items() if number > mismatched(before).get(view, 0)}
    assert grown.keys() == {"user_activity", "user_realtime"}
    assert "987654" not in client.get("/v1/skew").text
