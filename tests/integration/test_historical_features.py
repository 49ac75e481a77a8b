"""POST /v1/historical-features: the join of an export over HTTP, and that reads give what it gives (rule 6)."""

from __future__ import annotations

import io
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.historical import ARROW, JSON, PARQUET
from tests.integration.pushes import event, push

URL = "/v1/historical-features"
MINUTE = timedelta(minutes=1)
_numbers = itertools.count(1)


def ask(client: TestClient, spine: list[dict[str, Any]], **body: Any) -> dict[str, Any]:
    """The answer to a request that is in order."""
    if "features" not in body:
        body["feature_service"] = "assistant_v1"
    answer = client.post(URL, json={"spine": spine, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def problem(client: TestClient, status: int, **body: Any) -> dict[str, Any]:
    """The problem that a faulty request gets."""
    answer = client.post(URL, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


# Minutes ago, and a value: late ones, repeated ones, and some beyond the ttl of user_realtime.
pushed = st.lists(st.tuples(st.sampled_from([0, 1, 2, 30, 61, 600, 3000]), st.integers(0, 9)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(pushed, min_size=1, max_size=3))
def test_reading_now_gives_what_an_export_gives_for_now(
    client: TestClient, batches: list[list[tuple[int, int]]]
) -> None:
    user, start = f"equal-{next(_numbers)}", datetime.now(UTC)
    for rows in batches:
        push(client, *(event(user, start - minutes * MINUTE, messages) for minutes, messages in rows))
    users = [user, "u1", "u2", "nobody"]
    online = client.post(
        "/v1/online-features", json={"feature_service": "assistant_v1", "entities": {"user_id": users}}
    ).json()
    now = datetime.now(UTC).isoformat()
    found = ask(client, [{"user_id": one, "event_timestamp": now} for one in users])
    assert [[row[name] for name in found["features"]] for row in found["rows"]] == online["values"]
    assert found["statuses"] == online["statuses"]


def test_one_row_per_row_of_the_spine_with_all_it_had(client: TestClient) -> None:
    user, noon = "rows", datetime.now(UTC) - 5 * MINUTE
    push(client, event(user, noon, 3), event(user, noon - MINUTE, 2))
    times = [noon, noon - MINUTE, noon - 2 * MINUTE, noon]
    spine = [{"label": n, "user_id": user, "event_timestamp": at.isoformat()} for n, at in enumerate(times)]
    found = ask(client, spine, features=["user_realtime:current_session_messages"])
    assert [row["current_session_messages"] for row in found["rows"]] == [3, 2, None, 3]
    assert [row["label"] for row in found["rows"]] == [0, 1, 2, 3]
    assert found["statuses"] == [["PRESENT"], ["PRESENT"], ["NOT_FOUND"], ["PRESENT"]]
    assert list(found["rows"][0]) == ["label", "user_id", "event_timestamp", "current_session_messages"]


def test_what_was_not_known_yet_is_left_out_where_that_is_asked_for(client: TestClient) -> None:
    noon = datetime.now(UTC) - 5 * MINUTE
    push(client, event("known", noon, 3))  # it is created now
    spine = [{"user_id": "known", "event_timestamp": noon.isoformat()}]
    features = ["user_realtime:current_session_messages"]
    assert ask(client, spine, features=features)["statuses"] == [["PRESENT"]]
    assert ask(client, spine, features=features, known_at=True)["statuses"] == [["NOT_FOUND"]]


def test_parquet_and_arrow_by_accept(client: TestClient) -> None:
    body = {
        "features": ["user_activity:sessions_7d"],
        "full_feature_names": True,
        "spine": [{"user_id": "u1", "event_timestamp": datetime.now(UTC).isoformat()}],
    }
    rows = client.post(URL, json=body).json()["rows"]
    parquet = client.post(URL, json=body, headers={"accept": "application/vnd.apache.parquet"})
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(parquet.content))
    assert table.column_names == ["user_id", "event_timestamp", "user_activity__sessions_7d"]
    assert table["user_activity__sessions_7d"].to_pylist() == [rows[0]["user_activity__sessions_7d"]]
    arrow = client.post(URL, json=body, headers={"accept": "text/html, application/vnd.apache.arrow.stream;q=0.9"})
    with pa.ipc.open_stream(arrow.content) as stream:
        assert stream.read_all() == table
    assert client.post(URL, json=body, headers={"accept": "text/csv"}).status_code == 406


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*;q=0.1", JSON),
        (f"{JSON};q=0.5, {PARQUET}", PARQUET),
        (f"{JSON};q=0.5, {PARQUET}; Q=0.4", JSON),
        (f"{ARROW}, {PARQUET}", ARROW),
        (f"{JSON};q=0, {PARQUET};q=0.001", PARQUET),
        (f"{JSON};q=0, */*", PARQUET),
        (f"*/*, {PARQUET};q=0.5", JSON),
        (f"text/html, */*;q=0.8, {ARROW};q=0.9", ARROW),
        (f"{JSON};q=0", None),
        ("*/*;q=0", None),
        (f"{JSON};q=much", None),
        ("text/csv", None),
    ],
)
def test_accept_says_what_is_liked_best(client: TestClient, accept: str, wanted: str | None) -> None:
    body = {
        "features": ["user_activity:sessions_7d"],
        "spine": [{"user_id": "u1", "event_timestamp": datetime.now(UTC).isoformat()}],
    }
    answer = client.post(URL, json=body, headers={"accept": accept})
    assert answer.status_code == (200 if wanted else 406), answer.text
    assert not wanted or answer.headers["content-type"] == wanted


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (422, {"spine": []}, "either a feature service or features"),
        (422, {"spine": [], "feature_service": "assistant_v1", "features": ["a:b"]}, "either a feature service or"),
        (404, {"spine": [], "feature_service": "nope"}, "There is no feature service nope. Known: assistant_v1"),
        (404, {"spine": [], "features": ["nope:x"]}, "The registry has no feature view nope"),
        (422, {"spine": [], "feature_service": "assistant_v1"}, "must not be empty"),
        (422, {"spine": [{"user_id": "u"}], "feature_service": "assistant_v1"}, "event_timestamp"),
        (422, {"spine": [{"event_timestamp": 1}], "feature_service": "assistant_v1"}, "user_id"),
        (
            422,
            {"spine": [{"user_id": 7, "event_timestamp": "soon"}], "feature_service": "assistant_v1"},
            "expected a string",
        ),
        (
            422,
            {"spine": [{"user_id": "u", "event_timestamp": 1}] * 10_001, "features": ["user_activity:sessions_7d"]},
            "10,000",
        ),
    ],
)
def test_faults_are_told(client: TestClient, status: int, body: dict[str, Any], says: str) -> None:
    found = problem(client, status, **body)
    assert says in str([found["detail"], found.get("errors")])


def test_a_spine_that_has_a_column_of_the_name_of_a_feature(client: TestClient) -> None:
    spine = [{"user_id": "u1", "event_timestamp": 1, "sessions_7d": 3}]
    found = problem(client, 422, spine=spine, features=["user_activity:sessions_7d"])
    assert "ask with full_feature_names" in found["detail"]
    full = ask(client, spine, features=["user_activity:sessions_7d"], full_feature_names=True)
    assert full["rows"][0]["sessions_7d"] == 3
    assert full["rows"][0]["user_activity__sessions_7d"] is None
