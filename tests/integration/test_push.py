"""POST /v1/push on both profiles: outcomes, targets, the future, and what lands offline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.stores.catalog import RegistryReader
from app.stores.offline import FeastOfflineStore
from app.stores.offline_sources import reading
from app.stores.offline_tables import table_name
from app.stores.repo import open_repo
from tests.integration.profiles import Profile

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def event(user: str, moment: datetime | None, messages: Any = 1, **changes: Any) -> dict[str, Any]:
    row = {
        "user_id": user,
        "current_session_messages": messages,
        "current_session_tokens": 10,
        "last_active_minutes_ago": 0.0,
        **changes,
    }
    return row if moment is None else {**row, "event_timestamp": moment.isoformat()}


def push(client: TestClient, *rows: dict[str, Any], to: str = "online_and_offline") -> dict[str, Any]:
    response = client.post("/v1/push/user_realtime_events", json={"rows": list(rows), "to": to})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def served(client: TestClient, user: str) -> Any:
    body = client.get(f"/v1/online-features/assistant_v1?user_id={user}").json()
    return body["features"]["current_session_messages"]


def offline_rows(profile: Profile, user: str) -> list[dict[str, Any]]:
    """The newest offline row of a user, read by the store's own reader."""
    repo = open_repo(profile.settings)
    snapshot = RegistryReader(repo).read()
    store = FeastOfflineStore(repo)
    store.use(snapshot.feast_views)
    view = snapshot.catalog.views["user_realtime"]
    table = store.newest(view, BEGINNING, datetime.now(UTC) + timedelta(days=1))
    repo.close()
    return [row for row in table.to_pylist() if row["user_id"] == user]


def post(client: TestClient, body: Any, key: str) -> Any:
    return client.post("/v1/push/user_realtime_events", json=body, headers={"Idempotency-Key": key})


def offline_count(profile: Profile, user: str) -> int:
    """How many offline rows a user has, superseded ones included."""
    repo = open_repo(profile.settings)
    config, source = repo.store.config, repo.store.get_feature_view("user_realtime").batch_source
    repo.close()
    if profile.name == "production":
        with sa.create_engine(profile.settings.metadata_url).connect() as database:
            found = sa.text(f"SELECT count(*) FROM {table_name(source)} WHERE user_id = :user")
            return int(database.execute(found, {"user": user}).scalar_one())
    with reading(config, source) as files:
        users = [name for file in files for name in pq.read_table(file, columns=["user_id"])["user_id"].to_pylist()]
    return users.count(user)


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


def test_a_watermark_moves_on_and_never_back(client: TestClient) -> None:
    def tell(watermark: Any, **changes: Any) -> Any:
        body = {"rows": [], "watermark": watermark, **changes}
        return client.post("/v1/push/user_realtime_events", json=body).json()

    assert tell("2026-01-02T00:00:00Z") == {
        "received": 0, "applied": 0, "late": 0, "duplicate": 0, "rejected": 0, "watermark": "2026-01-02T00:00:00Z",
        "outcomes": [],
    }  # fmt: skip
    assert tell("2026-01-01T00:00:00Z")["watermark"] == "2026-01-02T00:00:00Z"
    assert tell(1767398400, rows=[event("wet", None)])["watermark"] == "2026-01-03T00:00:00Z"
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
    with sa.create_engine(profile.settings.metadata_url).begin() as database:
        # As it is when the server was killed after the writes and before the answer was kept.
        forgotten = sa.text("UPDATE push_keys SET answer = NULL, claimed_at = NULL WHERE key = 'key 3'")
        assert database.execute(forgotten).rowcount == 1
    before = offline_rows(profile, "dead")
    retried = post(client, body, "key 3")
    assert retried.json()["duplicate"] == 1
    assert offline_rows(profile, "dead") == before
    assert offline_count(profile, "dead") == 1


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


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def arrow(*rows: dict[str, Any]) -> bytes:
    table = pa.table({name: pa.array([row[name] for row in rows]) for name in rows[0]})
    times = [row["event_timestamp"] for row in rows]
    moments = pa.array([datetime.fromisoformat(time) for time in times], pa.timestamp("ns", "UTC"))
    table = table.set_column(table.column_names.index("event_timestamp"), "event_timestamp", moments)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("content_type", "body_of"),
    [("application/x-ndjson", lines), ("application/vnd.apache.arrow.stream", arrow)],
)
def test_rows_as_lines_and_as_arrow_are_rows(
    client: TestClient, profile: Profile, content_type: str, body_of: Callable[..., bytes]
) -> None:
    now, user = datetime.now(UTC), content_type.rpartition("/")[2]
    rows = [
        event(user, now, 2**53 + 1),
        event("", now),
        event(user, now - timedelta(hours=1), 2),
    ]
    answer = client.post(
        "/v1/push/user_realtime_events?to=online_and_offline",
        content=body_of(*rows),
        headers={"content-type": content_type},
    ).json()
    assert [outcome["outcome"] for outcome in answer["outcomes"]] == ["applied", "rejected", "late"]
    assert answer["outcomes"][1]["reason"] == "null_join_key: user_id: a join key must not be null or empty"
    assert served(client, user) == 2**53 + 1
    (stored,) = offline_rows(profile, user)
    assert (stored["event_timestamp"], stored["current_session_messages"]) == (now, 2**53 + 1)


@pytest.mark.parametrize("to", ["online", "online_and_offline"])
def test_all_or_none_with_every_fault(client: TestClient, profile: Profile, to: str) -> None:
    now = datetime.now(UTC)
    good, bad = event(f"whole-{to}", now, 1), event("", now, True, color="red")
    path = "/v1/push/user_realtime_events?atomic=true"
    response = client.post(path, json={"rows": [good, bad, 7], "to": to})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"] == [
        {"field": "rows[1].color", "message": "unknown_column: unknown column color"},
        {"field": "rows[1].user_id", "message": "null_join_key: user_id: a join key must not be null or empty"},
        {
            "field": "rows[1].current_session_messages",
            "message": "wrong_type: current_session_messages: expected an integer, got a boolean",
        },
        {"field": "rows[2]", "message": "wrong_type: a row must be an object"},
    ]
    assert served(client, f"whole-{to}") is None
    assert offline_rows(profile, f"whole-{to}") == []
    assert client.post(path, json={"rows": [good], "to": to}).json()["applied"] == 1
    assert served(client, f"whole-{to}") == 1


def test_a_thousand_rows_have_a_thousand_outcomes(client: TestClient) -> None:
    now = datetime.now(UTC)
    rows = [event(f"many-{number % 900}", now - timedelta(seconds=number), number) for number in range(1000)]
    rows[500]["current_session_tokens"] = "x"
    answer = push(client, *rows, to="online")
    assert [outcome["row"] for outcome in answer["outcomes"]] == list(range(1000))
    counts = {name: answer[name] for name in ("received", "applied", "late", "duplicate", "rejected")}
    assert counts == {"received": 1000, "applied": 899, "late": 100, "duplicate": 0, "rejected": 1}
    assert answer["outcomes"][500]["reason"].startswith("wrong_type: current_session_tokens")
    assert served(client, "many-99") == 99


def test_too_many_rows_are_refused(profile: Profile) -> None:
    with profile.client(max_push_rows=2) as small:
        response = small.post("/v1/push/user_realtime_events", json={"rows": [event("x", None)] * 3})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "rows"
    assert "FRESHET_MAX_PUSH_ROWS" in response.json()["errors"][0]["message"]
