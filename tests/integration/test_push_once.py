"""What a push says beside its rows, on both profiles: an Idempotency-Key, and a watermark."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.values import format_timestamp
from tests.integration.profiles import Profile
from tests.integration.pushes import event, metadata, offline_count, offline_rows, push, served


def post(client: TestClient, body: Any, key: str) -> Any:
    return client.post("/v1/push/user_realtime_events", json=body, headers={"Idempotency-Key": key})


def test_a_push_with_a_key_is_written_once_and_answered_the_same(profile: Profile, client: TestClient) -> None:
    # Without timestamps of its own each write of it would be another row.
    body = {"rows": [event("once", None, 7), {"user_id": "once"}]}
    first = post(client, body, "key 1")
    assert first.status_code == 200
    assert [one["outcome"] for one in first.json()["outcomes"]] == ["applied", "rejected"]
    kept = offline_rows(profile, "once")
    push(client, event("once", None, 8))
    again = post(client, body, "key 1")
    assert (again.status_code, again.content) == (200, first.content)
    # The newest row is that of the push in between: nothing was written the second time.
    assert served(client, "once") == 8
    assert offline_rows(profile, "once")[0]["created_timestamp"] > kept[0]["created_timestamp"]
    reused = post(client, {"rows": [event("once", None, 9)]}, "key 1")
    assert reused.status_code == 422
    assert reused.json()["type"].endswith("/idempotency-key-reused")


def test_a_key_is_free_again_where_nothing_was_written(client: TestClient) -> None:
    faulty, mended = {"rows": [{"user_id": "free"}]}, {"rows": [event("free", None)]}
    headers = {"Idempotency-Key": "key 2"}
    refused = client.post("/v1/push/user_realtime_events?atomic=true", json=faulty, headers=headers)
    assert refused.status_code == 422
    assert post(client, mended, "key 2").json()["applied"] == 1


def test_a_retry_finishes_what_a_dead_server_began_and_appends_nothing_twice(
    profile: Profile, client: TestClient
) -> None:
    body = {"rows": [event("dead", None, 3)]}
    assert post(client, body, "key 3").status_code == 200
    with metadata(profile.settings) as database:
        # As it is when the server was killed after the writes and before the answer was kept.
        forgotten = sa.text("UPDATE push_keys SET answer = NULL, claimed_at = NULL WHERE key = 'key 3'")
        assert database.execute(forgotten).rowcount == 1
    before = offline_rows(profile, "dead")
    retried = post(client, body, "key 3")
    assert retried.json()["duplicate"] == 1
    assert offline_rows(profile, "dead") == before
    assert offline_count(profile.settings, "user_realtime", "user_id", "dead") == 1


def test_a_watermark_moves_on_and_never_back(client: TestClient) -> None:
    def tell(watermark: Any, **changes: Any) -> Any:
        body = {"rows": [], "watermark": watermark, **changes}
        return client.post("/v1/push/user_realtime_events", json=body).json()

    # No watermark that another test has told lies later than its moment.
    first = datetime.now(UTC)
    shown = format_timestamp(first)
    assert tell(shown) == {
        "received": 0, "applied": 0, "late": 0, "duplicate": 0, "rejected": 0, "watermark": shown, "outcomes": [],
    }  # fmt: skip
    assert tell("2026-01-01T00:00:00Z")["watermark"] == shown
    second = time.time()
    moved = datetime.fromisoformat(tell(second, rows=[event("wet", None)])["watermark"])
    assert moved == datetime.fromtimestamp(second, UTC) > first
    # Nothing is complete beyond now.
    before = datetime.now(UTC)
    ahead = datetime.fromisoformat(tell((before + timedelta(minutes=1)).isoformat())["watermark"])
    assert before <= ahead <= datetime.now(UTC)
    lines = client.post(
        "/v1/push/user_realtime_events?watermark=2026-01-01T00:00:00Z",
        content=b"",
        headers={"content-type": "application/x-ndjson"},
    )
    assert datetime.fromisoformat(lines.json()["watermark"]) == ahead
    source = client.get("/v1/push-sources/user_realtime_events").json()
    assert datetime.fromisoformat(source["watermark"]) == ahead
    assert before <= datetime.fromisoformat(source["watermark_updated_at"]) <= datetime.now(UTC)
