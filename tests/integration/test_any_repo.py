"""A stock Feast repo of somebody else's: int64, composite and no keys, every type, request data, renamed views."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.commands.up import set_up
from app.deployment import deployment
from app.main import create_app
from app.settings import Settings
from app.stores.repo import open_repo
from tests.repos.everything import ROW, write_repo
from tests.servers import Redis


@pytest.fixture(scope="module", params=["sqlite", "redis", "no store named"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: Redis
) -> Iterator[TestClient]:
    """The repo over SQLite, over Redis, and with a file registry and Feast's default stores."""
    folder = tmp_path_factory.mktemp("repo")
    redis: dict[str, object] = {"type": "redis", "connection_string": redis_server.connection_string}
    write_repo(folder, online=redis if request.param == "redis" else None)
    if request.param == "no store named":
        minimal = "project: lab\nprovider: local\nregistry: data/registry.db\nentity_key_serialization_version: 3\n"
        (folder / "feature_store.yaml").write_text(minimal, encoding="utf-8")
    settings = Settings(feature_repo=folder, online_timeout=5.0)
    repo = open_repo(settings)
    set_up(settings, repo)
    repo.close()
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
    redis_server.flush()


def push(client: TestClient, source: str, row: dict[str, Any], to: str = "online_and_offline") -> None:
    answer = client.post(f"/v1/push/{source}", json={"rows": [row], "to": to})
    assert answer.status_code == 200, answer.text
    assert answer.json()["applied"] == 1, answer.text


def read(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/online-features", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_every_type_travels_through_http(client: TestClient) -> None:
    push(client, "driver_events", ROW)
    body = client.get("/v1/online-features/all_drivers?driver_id=1001").json()
    expected = {name: value for name, value in ROW.items() if name != "driver_id"}
    assert body["features"] == expected
    assert body["entity"] == {"driver_id": 1001}
    assert set(body["statuses"].values()) == {"PRESENT"}


def test_every_type_may_be_null(client: TestClient) -> None:
    push(client, "driver_events", {**dict.fromkeys(ROW), "driver_id": 1002})
    body = client.get("/v1/online-features/all_drivers?driver_id=1002").json()
    assert set(body["features"].values()) == {None}
    assert set(body["statuses"].values()) == {"NULL_VALUE"}


def test_int64_keys_beyond_2_to_the_53_are_told_apart(client: TestClient) -> None:
    for number in (2**53, 2**53 + 1):
        push(client, "driver_events", {**ROW, "driver_id": number, "i64": number})
    answer = read(client, features=["drivers:i64"], entities={"driver_id": [2**53 + 1, 2**53]})
    assert answer["values"] == [[2**53 + 1], [2**53]]


def test_composite_keys_and_request_data_through_a_pandas_function(client: TestClient) -> None:
    push(client, "trip_events", {"driver_id": 1, "customer_id": "23", "fare": 10.0, "name": "a"})
    push(client, "trip_events", {"driver_id": 12, "customer_id": "3", "fare": 20.0, "name": None})
    answer = read(
        client,
        feature_service="trip_prices",
        entities={"customer_id": ["3", "23", "3"], "driver_id": [12, 1, 1]},
        request_data={"surge": [1.5, 2.0, 3.0]},
    )
    assert answer["features"] == ["trips:fare", "trips:name", "pricing:surged_fare"]
    assert answer["values"] == [[20.0, None, 30.0], [10.0, "a", 20.0], [None, None, None]]
    assert answer["statuses"][2] == ["NOT_FOUND"] * 3
    one = client.get("/v1/online-features/trip_prices?driver_id=1&customer_id=23&surge=3").json()
    assert one["features"]["surged_fare"] == 30.0


def test_request_timestamp_is_filled_with_now(client: TestClient) -> None:
    seen = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    push(client, "driver_events", {**ROW, "driver_id": 1003, "seen": seen.isoformat()})
    for driver, hours in ((1003, 3.0), (999_999, None)):
        body = client.get(f"/v1/online-features/idle?driver_id={driver}&surge=1").json()
        assert body["features"]["idle_hours"] == (None if hours is None else pytest.approx(hours, abs=0.05))
    two = read(
        client,
        feature_service="idle",
        entities={"driver_id": [1003, 1003]},
        request_data={"surge": [1, 1], "request_timestamp": [seen.isoformat(), seen.timestamp() + 3600]},
    )
    assert [row[0] for row in two["values"]] == [0.0, 1.0]


def test_a_view_without_entities_has_one_row(client: TestClient) -> None:
    push(client, "weather_reports", {"rain": True})
    assert client.get("/v1/online-features/anywhere").json()["features"] == {"rain": True}
    assert read(client, feature_service="anywhere", entities={})["values"] == [[True]]


def test_a_view_under_another_name_with_another_join_key(client: TestClient) -> None:
    push(client, "driver_events", {**ROW, "driver_id": 77, "i64": 7})
    body = client.get("/v1/online-features/renamed?boss_id=77").json()
    assert body["entity"] == {"boss_id": 77}
    assert body["features"] == {"i64": 7}
    assert list(body["event_timestamps"]) == ["chauffeurs"]


def test_equal_feature_names_of_two_views_need_full_names(client: TestClient) -> None:
    query = "driver_id=1001&customer_id=1"
    assert client.get(f"/v1/online-features/both?{query}").status_code == 422
    full = client.get(f"/v1/online-features/both?{query}&full_feature_names=true").json()["features"]
    assert list(full) == ["drivers__name", "drivers__i64", "trips__name", "trips__fare"]


@pytest.mark.parametrize(
    ("service", "reason"),
    [("refused", "disabled_view cannot be served: it is disabled"), ("precomputed", "precompute_online")],
)
def test_what_cannot_be_served_by_the_rules_is_refused_by_name(client: TestClient, service: str, reason: str) -> None:
    response = client.get(f"/v1/online-features/{service}?driver_id=1")
    assert response.status_code == 422
    assert response.json()["type"].endswith("/not-servable")
    assert reason in response.json()["detail"]
    shown = client.get(f"/v1/feature-services/{service}").json()
    assert (shown["servable"], reason in shown["refusal"]) == (False, True)


def test_every_type_is_materialized_as_it_was_pushed(client: TestClient) -> None:
    row = {**ROW, "driver_id": 1004}
    push(client, "driver_events", row, to="offline")
    push(client, "driver_events", {**dict.fromkeys(ROW), "driver_id": 1005}, to="offline")
    push(client, "weather_reports", {"rain": False}, to="offline")
    app: Any = client.app
    with deployment(app.context.settings) as parts:
        for view in ("drivers", "weather"):
            parts.materializer.materialize(parts.view(view))
    features = client.get("/v1/online-features/all_drivers?driver_id=1004").json()["features"]
    assert features == {name: value for name, value in row.items() if name != "driver_id"}
    statuses = client.get("/v1/online-features/all_drivers?driver_id=1005").json()["statuses"]
    assert set(statuses.values()) == {"NULL_VALUE"}
    assert client.get("/v1/online-features/anywhere").json()["features"] == {"rain": False}


def test_what_has_no_offline_type_is_rejected_offline_and_kept_online(client: TestClient) -> None:
    row = {**ROW, "driver_id": 1006, "attributes": {"nested": {"deep": [1, 2]}}}
    fine = {**ROW, "driver_id": 1007}
    answer = client.post("/v1/push/driver_events", json={"rows": [row, fine]}).json()
    assert [outcome["outcome"] for outcome in answer["outcomes"]] == ["rejected", "applied"]
    assert answer["outcomes"][0]["reason"].startswith("attributes: ")
    statuses = client.get("/v1/online-features/all_drivers?driver_id=1006").json()["statuses"]
    assert set(statuses.values()) == {"NOT_FOUND"}
    whole = client.post("/v1/push/driver_events?atomic=true", json={"rows": [row, fine]})
    assert whole.status_code == 422
    push(client, "driver_events", row, to="online")
    features = client.get("/v1/online-features/all_drivers?driver_id=1006").json()["features"]
    assert features["attributes"] == {"nested": {"deep": [1, 2]}}


def test_what_feast_has_no_form_for_is_refused(client: TestClient) -> None:
    mixed = {**ROW, "driver_id": 1008, "attributes": {"nested": [1, {"deep": True}]}}
    refused = client.post("/v1/push/driver_events", json={"rows": [mixed], "to": "online"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "attributes"
