"""Feast's SDK, with `online_store: {type: remote}`, against a real server: what it reads is what stock Feast reads from
the same store itself, and what it writes stock Feast finds there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast.errors import FeatureNameCollisionError
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from tests.integration.feast_clients import statuses, values
from tests.integration.feast_world import NOW, World, frame, trip
from tests.repos.everything import ROW

SEEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CARRIED = {
    **ROW,
    "seen": SEEN.replace(tzinfo=None),
    # The client cannot write bytes: it gives them to JSON as they are.
    "blob": None,
    "document": '{"deep":[1,null,"x"]}',
}
"""A row of `drivers` as a DataFrame for the client holds it."""


def test_what_the_client_writes_both_read_alike(world: World) -> None:
    world.sdk.write_to_online_store("drivers", df=frame(CARRIED, {**CARRIED, "driver_id": 2**53 + 1, "i64": 2**62}))
    rows = [{"driver_id": 1001}, {"driver_id": 2**53 + 1}, {"driver_id": 2**53}, {"driver_id": 1001}]
    features = [f"drivers:{name}" for name in CARRIED if name != "driver_id"]

    through, straight = values(world.sdk, features, rows), values(world.stock, features, rows)

    # Feast's JSON carries these two in other forms: seconds since 1970, and the text of the JSON.
    assert through.pop("seen") == [int(SEEN.timestamp()), int(SEEN.timestamp()), None, int(SEEN.timestamp())]
    assert straight.pop("seen") == [SEEN, SEEN, None, SEEN]
    assert through.pop("document") == ['{"deep":[1,null,"x"]}', '{"deep":[1,null,"x"]}', None, '{"deep":[1,null,"x"]}']
    assert straight.pop("document") == [{"deep": [1, None, "x"]}] * 2 + [None] + [{"deep": [1, None, "x"]}]
    assert through == straight
    assert through["i64"] == [2**53 + 1, 2**62, None, 2**53 + 1]
    assert list(through) == ["driver_id", *(name for name in CARRIED if name not in ("driver_id", "seen", "document"))]


def test_the_types_of_numbers_survive(world: World) -> None:
    world.sdk.write_to_online_store("drivers", df=frame({**CARRIED, "driver_id": 8, "f64": 3.0, "f32": 1e16}))
    found = values(world.sdk, ["drivers:f64", "drivers:f32", "drivers:i32"], [{"driver_id": 8}])
    assert [type(found[name][0]) for name in ("f64", "f32", "i32")] == [float, float, int]
    assert found["f64"] == [3.0]


def test_a_feature_service_and_composite_keys_in_any_order(world: World) -> None:
    frames = frame(trip(1, "23", 10.0), trip(12, "3", None, None), trip(7, "7", 7.5))
    world.sdk.write_to_online_store("trips", df=frames)
    rows = [{"customer_id": customer, "driver_id": driver} for driver, customer in ((12, "3"), (1, "23"), (1, "3"))]
    features = ["trips:fare", "trips:name"]

    assert values(world.sdk, features, rows) == values(world.stock, features, rows)
    assert values(world.sdk, features, rows)["fare"] == [None, 10.0, None]
    assert statuses(world.sdk, features, rows)["fare"] == ["NULL_VALUE", "PRESENT", "NOT_FOUND"]
    assert statuses(world.sdk, features, rows)["driver_id"] == ["PRESENT"] * 3

    asked = [{"driver_id": 7, "customer_id": "7", "surge": 2.0, "request_timestamp": int(SEEN.timestamp())}]
    through, straight = (values(one, one.get_feature_service("trip_prices"), asked) for one in (world.sdk, world.stock))
    assert through == straight
    assert through["surged_fare"] == [15.0]


def test_keys_in_the_forms_that_feast_takes(world: World) -> None:
    world.sdk.write_to_online_store("drivers", df=frame({**CARRIED, "driver_id": 20}, {**CARRIED, "driver_id": -21}))
    rows: list[dict[str, Any]] = [{"driver_id": "20"}, {"driver_id": "-21"}, {"driver_id": 20.0}, {"driver_id": 21}]
    through, straight = (values(one, ["drivers:name"], rows) for one in (world.sdk, world.stock))
    assert through == straight == {"driver_id": [20, -21, 20, 21], "name": ["Ada", "Ada", "Ada", None]}
    by_entity = [{"driver": 20, "customer": 7}]
    assert values(world.sdk, ["drivers:name"], by_entity) == {"driver_id": [20], "name": ["Ada"]}

    world.sdk.write_to_online_store("trips", df=frame(trip(20, "7", 4.0)))
    assert values(world.sdk, ["trips:fare"], by_entity)["fare"] == [4.0]


def test_full_names_and_a_collision(world: World) -> None:
    world.sdk.write_to_online_store("drivers", df=frame({**CARRIED, "driver_id": 31}))
    world.sdk.write_to_online_store("trips", df=frame(trip(31, "1", 1.0)))
    rows = [{"driver_id": 31, "customer_id": "1"}]
    through, straight = (
        values(one, one.get_feature_service("both"), rows, full_feature_names=True) for one in (world.sdk, world.stock)
    )
    assert through == straight
    names = ["drivers__name", "drivers__i64", "trips__name", "trips__fare"]
    assert list(through) == ["driver_id", "customer_id", *names]
    with pytest.raises(FeatureNameCollisionError, match="named name"):
        values(world.sdk, world.sdk.get_feature_service("both"), rows)


def test_a_view_without_entities(world: World) -> None:
    world.sdk.push("weather_reports", frame({"rain": True}))
    # Without a key Feast takes the number of rows from whatever column there is.
    rows = [{"anything": 1}, {"anything": 2}]
    assert values(world.sdk, ["weather:rain"], rows) == {"rain": [True, True]}
    assert values(world.stock, ["weather:rain"], rows) == {"rain": [True, True]}


def test_the_newest_row_wins_and_a_correction_is_applied(world: World) -> None:
    def fare() -> Any:
        return values(world.sdk, ["trips:fare"], [{"driver_id": 50, "customer_id": "x"}])["fare"][0]

    world.sdk.write_to_online_store("trips", df=frame(trip(50, "x", 2.0)))
    world.sdk.write_to_online_store("trips", df=frame(trip(50, "x", 1.0), moment=NOW - timedelta(hours=1)))
    assert fare() == 2.0
    corrected = frame(trip(50, "x", 3.0)).assign(made=NOW + timedelta(seconds=1))
    world.sdk.write_to_online_store("trips", df=corrected)
    assert fare() == 3.0


def test_the_real_times_come_through_the_names_that_the_client_uses(world: World) -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
    world.sdk.push("trip_events", frame(trip(51, "x", 1.0), moment=moment.replace(tzinfo=None)))
    body = {"features": ["trips:fare"], "entities": {"driver_id": [51], "customer_id": ["x"]}}
    assert world.server.post("/v1/online-features", body).json()["event_timestamps"]["trips"] == [
        "2026-03-04T05:06:07.000089Z"
    ]
    response = world.server.post("/get-online-features", body).json()
    assert response["results"][2]["event_timestamps"] == ["2026-03-04T05:06:07.000089Z"]


def test_a_value_beyond_its_ttl_is_not_passed_off_as_fresh(world: World) -> None:
    row = {**CARRIED, "driver_id": 60}
    world.sdk.write_to_online_store("drivers", df=frame(row, moment=NOW - timedelta(hours=3)))
    asked = (["drivers:name"], [{"driver_id": 60}])
    assert values(world.stock, *asked)["name"] == ["Ada"]
    assert values(world.sdk, *asked)["name"] == [None]
    assert statuses(world.sdk, *asked)["name"] == ["OUTSIDE_MAX_AGE"]


def test_the_store_interface_of_the_client_reads_too(world: World) -> None:
    world.sdk.write_to_online_store("drivers", df=frame({**CARRIED, "driver_id": 61}))
    keys = [EntityKeyProto(join_keys=["driver_id"], entity_values=[ValueProto(int64_val=61)])]
    view = world.sdk.get_feature_view("drivers")
    read = world.sdk.provider.online_store.online_read
    ((_, found),) = read(world.sdk.config, view, keys, ["i64", "seen", "f64", "tags"])
    assert found["i64"].int64_val == 2**53 + 1
    assert found["seen"].unix_timestamp_val == int(SEEN.timestamp())
    assert found["f64"].double_val == 1.25
    assert list(found["tags"].string_list_val.val) == ["a", "ü"]


def test_materialization_and_then_the_rest_of_it(world: World) -> None:
    def push_offline(driver: int, moment: datetime) -> None:
        row = {name: [value] for name, value in trip(driver, "m", float(driver)).items()}
        body = {"push_source_name": "trip_events", "df": {**row, "ts": [moment.isoformat()]}, "to": "offline"}
        assert world.server.post("/push", body).status_code == 200

    def fares() -> list[Any]:
        rows = [{"driver_id": driver, "customer_id": "m"} for driver in (70, 71, 72)]
        through, straight = (values(one, ["trips:fare"], rows) for one in (world.sdk, world.stock))
        assert through == straight
        return through["fare"]

    for driver, age in ((70, 9), (71, 5), (72, 1)):
        push_offline(driver, NOW - timedelta(days=age))
    assert fares() == [None, None, None]
    world.sdk.materialize(NOW - timedelta(days=10), NOW - timedelta(days=4), ["trips"])
    assert fares() == [70.0, 71.0, None]
    world.sdk.materialize_incremental(NOW, ["trips"])
    assert fares() == [70.0, 71.0, 72.0]
    recorded = world.stock.registry.get_feature_view("trips", "lab").materialization_intervals
    assert (NOW - timedelta(days=10)).replace(tzinfo=UTC) in [start for start, _ in recorded]


def test_a_materialization_in_the_background(world: World) -> None:
    row = {name: [value] for name, value in trip(80, "b", 8.0).items()}
    moment = (NOW - timedelta(days=20)).isoformat()
    world.server.post("/push", {"push_source_name": "trip_events", "df": {**row, "ts": [moment]}, "to": "offline"})
    asked = [{"driver_id": 80, "customer_id": "b"}]

    window = (NOW - timedelta(days=21), NOW - timedelta(days=19))
    world.sdk.materialize(*window, ["trips"], run_async=True)

    world.server.wait_for(
        "the row to be there", lambda: values(world.sdk, ["trips:fare"], asked)["fare"] == [8.0], seconds=60
    )
