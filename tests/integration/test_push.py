"""POST /v1/push on both profiles: outcomes, targets, the future, and what lands offline."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.profiles import Profile
from tests.integration.pushes import event, offline_rows, push, served


def test_every_row_has_its_outcome(client: TestClient) -> None:
    now = datetime.now(UTC)
    answer = push(
        client,
        event("many", now, 3),
        event("many", now - timedelta(minutes=1), 2),
        event("many", now, True),
        event("many", now, 3, created_timestamp=now.isoformat()),
        "not a row",  # type: ignore[arg-type]
    )
    assert [outcome["outcome"] for outcome in answer["outcomes"]] == ["applied", "late", "rejected", "late", "rejected"]
    assert [outcome["row"] for outcome in answer["outcomes"]] == [0, 1, 2, 3, 4]
    counts = {name: answer[name] for name in ("received", "applied", "late", "duplicate", "rejected")}
    assert counts == {"received": 5, "applied": 1, "late": 2, "duplicate": 0, "rejected": 2}
    assert served(client, "many") == 3


def test_the_same_row_twice_is_a_duplicate(client: TestClient) -> None:
    now = datetime.now(UTC)
    row = event("twin", now, created_timestamp=now.isoformat())
    assert push(client, row, to="online")["applied"] == 1
    assert push(client, row, to="online")["duplicate"] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_id": None}, "null_join_key: user_id: a join key must not be null or empty"),
        ({"user_id": ""}, "null_join_key: user_id: a join key must not be null or empty"),
        ({"user_id": 7}, "wrong_type: user_id: expected a string, got an integer"),
        ({"current_session_tokens": 1.5}, "current_session_tokens: expected an integer"),
        ({"current_session_tokens": 2**63}, "out_of_range: current_session_tokens: out of range"),
        ({"current_session_tokens": True}, "current_session_tokens: expected an integer, got a boolean"),
        ({"last_active_minutes_ago": "soon"}, "last_active_minutes_ago: expected a number"),
        ({"last_active_minutes_ago": 1e39}, "out_of_range: last_active_minutes_ago: out of range"),
        ({"color": "red"}, "unknown_column: unknown column color"),
        ({"event_timestamp": "yesterday"}, "event_timestamp: expected a time"),
        ({"event_timestamp": "2999-01-01T00:00:00Z"}, "future_timestamp"),
    ],
)
def test_a_faulty_row_is_rejected_with_every_reason_and_nothing_is_written(
    client: TestClient, profile: Profile, changes: dict[str, Any], reason: str
) -> None:
    row = {**event("faulty", datetime.now(UTC)), **changes}
    answer = push(client, row)
    assert answer["rejected"] == 1
    assert reason in answer["outcomes"][0]["reason"]
    assert served(client, "faulty") is None
    assert offline_rows(profile, "faulty") == []


def test_all_faults_of_a_row_are_told_at_once(client: TestClient) -> None:
    row = {"user_id": None, "color": "red", "current_session_tokens": "x"}
    reason = push(client, row)["outcomes"][0]["reason"]
    for part in ("user_id", "color", "current_session_tokens", "missing column current_session_messages"):
        assert part in reason


def test_targets(client: TestClient, profile: Profile) -> None:
    now = datetime.now(UTC)
    push(client, event("on", now, 5), to="online")
    push(client, event("off", now, 6), to="offline")
    push(client, event("both", now, 7), to="online_and_offline")
    assert [served(client, user) for user in ("on", "off", "both")] == [5, None, 7]
    assert [len(offline_rows(profile, user)) for user in ("on", "off", "both")] == [0, 1, 1]
    (stored,) = offline_rows(profile, "both")
    assert stored["event_timestamp"] == now
    assert stored["current_session_messages"] == 7
    assert stored["created_timestamp"] >= now


def test_int64_stays_exact_next_to_a_null(client: TestClient, profile: Profile) -> None:
    now, large = datetime.now(UTC), 2**53 + 1
    push(client, event("exact", now, large), event("exact-null", now, None))
    assert served(client, "exact") == large
    assert offline_rows(profile, "exact")[0]["current_session_messages"] == large
    assert offline_rows(profile, "exact-null")[0]["current_session_messages"] is None


def test_an_epoch_timestamp_and_none_at_all(client: TestClient) -> None:
    epoch = {**event("epoch", None), "event_timestamp": time.time() - 1}
    assert push(client, epoch, event("timeless", None, 8))["applied"] == 2
    assert served(client, "epoch") == 1
    assert served(client, "timeless") == 8


def test_a_late_row_is_kept_offline(client: TestClient, profile: Profile) -> None:
    now = datetime.now(UTC)
    push(client, event("behind", now, 2), to="online")
    assert push(client, event("behind", now - timedelta(minutes=5), 1))["late"] == 1
    assert served(client, "behind") == 2
    assert offline_rows(profile, "behind")[0]["current_session_messages"] == 1


def test_an_event_slightly_ahead_is_served_when_it_is_due(client: TestClient) -> None:
    push(client, event("early", datetime.now(UTC), 1))
    due = datetime.now(UTC) + timedelta(seconds=1)
    answer = push(client, event("early", due, 2))
    assert answer["outcomes"][0] == {
        "row": 0,
        "outcome": "applied",
        "reason": "ahead of the clock: written online when it is due",
    }
    assert served(client, "early") == 1
    deadline = time.monotonic() + 20
    while served(client, "early") != 2:
        assert time.monotonic() < deadline, "the row that was due never appeared"
        time.sleep(0.05)
    assert datetime.now(UTC) >= due


def test_too_many_rows_are_refused(profile: Profile) -> None:
    with profile.client(max_push_rows=2) as small:
        response = small.post("/v1/push/user_realtime_events", json={"rows": [event("x", None)] * 3})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "rows"
    assert "FRESHET_MAX_PUSH_ROWS" in response.json()["errors"][0]["message"]
