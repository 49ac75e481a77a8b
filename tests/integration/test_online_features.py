"""GET and POST of online features, on both profiles: shapes, order, statuses, staleness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

FEATURES = [
    "user_activity:sessions_7d",
    "user_activity:avg_session_duration_sec",
    "user_activity:messages_sent_7d",
    "user_activity:tools_used_7d",
    "user_activity:preferred_model",
    "user_activity:total_tokens_7d",
    "user_realtime:current_session_messages",
    "user_realtime:current_session_tokens",
    "user_realtime:last_active_minutes_ago",
    "user_engagement:tokens_per_message",
    "user_engagement:messages_per_session",
]


def get(client: TestClient, query: str) -> dict[str, Any]:
    response = client.get(f"/v1/online-features/assistant_v1?{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def post(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/online-features", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def push(client: TestClient, user: str, age: timedelta, messages: int = 4) -> datetime:
    """Push one row of that age; returns its event timestamp."""
    event = datetime.now(UTC) - age
    row = {
        "user_id": user,
        "event_timestamp": event.isoformat(),
        "current_session_messages": messages,
        "current_session_tokens": 1200,
        "last_active_minutes_ago": 0.5,
    }
    response = client.post("/v1/push/user_realtime_events", json={"rows": [row]})
    assert response.json()["applied"] == 1, response.text
    return event


def test_one_entity(client: TestClient) -> None:
    body = get(client, "user_id=u1")
    assert list(body) == ["feature_service", "entity", "features", "statuses", "event_timestamps"]
    assert body["feature_service"] == "assistant_v1"
    assert body["entity"] == {"user_id": "u1"}
    assert list(body["features"]) == [reference.partition(":")[2] for reference in FEATURES]
    assert list(body["statuses"]) == list(body["features"])
    features = body["features"]
    assert features["sessions_7d"] > 0
    assert features["tokens_per_message"] == pytest.approx(features["total_tokens_7d"] / features["messages_sent_7d"])
    assert body["statuses"]["preferred_model"] == "PRESENT"
    assert body["event_timestamps"]["user_activity"].endswith("T00:00:00Z")


def test_full_feature_names(client: TestClient) -> None:
    body = get(client, "user_id=u1&full_feature_names=true")
    assert list(body["features"]) == [reference.replace(":", "__") for reference in FEATURES]
    # Stock Feast drops the features of python-mode on-demand views under full names.
    assert body["features"]["user_engagement__tokens_per_message"] > 0


def test_many_entities_in_request_order_with_duplicates(client: TestClient) -> None:
    body = post(client, feature_service="assistant_v1", entities={"user_id": ["u2", "nobody", "u1", "u2"]})
    assert list(body) == ["features", "entities", "values", "statuses", "event_timestamps"]
    assert body["features"] == FEATURES
    assert body["entities"] == {"user_id": ["u2", "nobody", "u1", "u2"]}
    assert body["values"][0] == body["values"][3]
    assert body["values"][2] == list(get(client, "user_id=u1")["features"].values())
    assert body["statuses"][1] == ["NOT_FOUND"] * len(FEATURES)
    assert body["values"][1] == [None] * len(FEATURES)
    assert body["event_timestamps"]["user_activity"][1] is None


def test_features_as_asked_for_in_that_order(client: TestClient) -> None:
    wanted = [FEATURES[9], FEATURES[4], FEATURES[0]]
    body = post(client, features=wanted, entities={"user_id": ["u1"]})
    assert body["features"] == wanted
    whole = get(client, "user_id=u1")["features"]
    assert body["values"][0] == [whole[reference.partition(":")[2]] for reference in wanted]


def test_a_pushed_row_is_read_at_once(client: TestClient) -> None:
    event = push(client, "reader", timedelta(0), messages=7)
    body = get(client, "user_id=reader")
    assert body["features"]["current_session_messages"] == 7
    assert body["features"]["last_active_minutes_ago"] == 0.5
    assert body["event_timestamps"]["user_realtime"] == event.isoformat().replace("+00:00", "Z")
    assert body["statuses"]["sessions_7d"] == "NOT_FOUND"


def test_a_value_older_than_its_ttl_is_outside_max_age(client: TestClient) -> None:
    push(client, "sleeper", timedelta(hours=1, seconds=5))
    body = get(client, "user_id=sleeper")
    assert body["statuses"]["current_session_messages"] == "OUTSIDE_MAX_AGE"
    assert body["features"]["current_session_messages"] is None
    served = get(client, "user_id=sleeper&on_stale=serve")
    assert served["features"]["current_session_messages"] == 4
    assert served["statuses"]["current_session_messages"] == "OUTSIDE_MAX_AGE"


@pytest.mark.parametrize("limit", ["60", "1m", "PT1M"])
def test_max_staleness_is_stricter_than_the_ttl(client: TestClient, limit: str) -> None:
    push(client, "dozer", timedelta(minutes=5))
    assert get(client, "user_id=dozer")["statuses"]["current_session_messages"] == "PRESENT"
    strict = get(client, f"user_id=dozer&max_staleness={limit}")
    assert strict["statuses"]["current_session_messages"] == "OUTSIDE_MAX_AGE"
    body = {"feature_service": "assistant_v1", "entities": {"user_id": ["dozer"]}, "max_staleness": limit}
    refused = client.post("/v1/online-features", json={**body, "on_stale": "fail"})
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/stale-features")
    assert "user_realtime:current_session_messages" in refused.json()["detail"]


def test_an_older_push_does_not_replace_a_newer_row(client: TestClient) -> None:
    push(client, "racer", timedelta(seconds=1), messages=9)
    row = {
        "user_id": "racer",
        "event_timestamp": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
        "current_session_messages": 1,
        "current_session_tokens": 1,
        "last_active_minutes_ago": 1,
    }
    answer = client.post("/v1/push/user_realtime_events", json={"rows": [row]}).json()
    assert (answer["late"], answer["outcomes"][0]["outcome"]) == (1, "late")
    assert get(client, "user_id=racer")["features"]["current_session_messages"] == 9


def test_on_demand_features_are_null_where_their_input_is(client: TestClient) -> None:
    body = get(client, "user_id=nobody")
    assert body["features"]["tokens_per_message"] is None
    assert body["statuses"]["tokens_per_message"] == "NOT_FOUND"


def test_metrics_count_what_was_served(client: TestClient) -> None:
    def served(text: str) -> float:
        line = 'freshet_served_values_total{feature_view="user_activity",status="NOT_FOUND"} '
        return next((float(entry[len(line) :]) for entry in text.splitlines() if entry.startswith(line)), 0.0)

    before = served(client.get("/metrics").text)
    get(client, "user_id=never-seen")
    after = client.get("/metrics").text
    assert served(after) == before + 6
    assert 'route="/v1/online-features/{feature_service}"' in after
    assert "feast_" not in after


def test_metrics_tell_how_old_what_was_served_is(client: TestClient) -> None:
    def counted() -> tuple[float, ...]:
        names = ("age_seconds_count", "age_seconds_sum", "stale_total")
        wanted = [f'freshet_served_{name}{{feature_view="user_realtime"}} ' for name in names]
        lines = client.get("/metrics").text.splitlines()
        return tuple(float(line[len(start) :]) for start in wanted for line in lines if line.startswith(start))

    push(client, "aged", timedelta(minutes=6), messages=1)
    query = {"feature_service": "assistant_v1", "entities": {"user_id": ["aged", "never-seen"]}}
    before = counted()
    get(client, "user_id=aged")
    assert client.post("/v1/online-features", json=query).status_code == 200
    assert client.post("/get-online-features", json=query).status_code == 200
    number, total, stale = (after - had for after, had in zip(counted(), before, strict=True))
    assert (number, stale) == (3, 3)  # its SLA is five minutes
    assert 3 * 360 <= total < 3 * 420
    # What is refused was not served, and what is too old for its caller was not shown.
    strict = {**query, "max_staleness": "5m", "on_stale": "fail"}
    assert client.post("/v1/online-features", json=strict).status_code == 409
    get(client, "user_id=aged&max_staleness=5m")
    assert counted()[0] == before[0] + 3


def test_ten_thousand_entities_in_one_request_and_not_one_more(client: TestClient) -> None:
    users = [f"u{number}" for number in range(10_000)]
    query = {"feature_service": "assistant_v1", "entities": {"user_id": users}}
    answer = client.post("/v1/online-features", json=query)
    assert answer.status_code == 200, answer.text[:300]
    body = answer.json()
    assert body["entities"]["user_id"] == users
    assert [len(body["values"]), len(body["statuses"])] == [10_000, 10_000]
    assert {len(column) for column in body["event_timestamps"].values()} == {10_000}
    alone = client.post("/v1/online-features", json={**query, "entities": {"user_id": ["u7"]}}).json()
    assert body["statuses"][7] == alone["statuses"][0]
    more = {**query, "entities": {"user_id": [*users, "u"]}}
    assert client.post("/v1/online-features", json=more).status_code == 422
