"""The forms of a push on both profiles: lines, Arrow, all rows or none, many rows at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.integration.profiles import Profile
from tests.integration.pushes import event, offline_rows, push, served


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
