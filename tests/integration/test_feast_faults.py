"""Feast's SDK, with `online_store: {type: remote}`, and faults: told after one call, as an exception of Feast's own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from feast.errors import FeastError, FeatureViewNotFoundException

from app.commands.up import set_up
from app.main import create_app
from app.settings import Settings
from app.stores.repo import open_repo
from tests.integration.feast_clients import statuses, values
from tests.integration.feast_world import NOW, World, frame, trip
from tests.repos.everything import write_repo
from tests.servers import RedisServer


@pytest.mark.parametrize(
    ("features", "rows", "error", "words"),
    [
        (["nope:x"], [{"driver_id": 1}], FeatureViewNotFoundException, "no feature view nope"),
        (["drivers:nope"], [{"driver_id": 1}], FeastError, "drivers has no feature nope"),
        (["drivers:i64"], [{"driver_id": None}], FeastError, "must not be null"),
        (["drivers:i64"], [{"chauffeur": 1}], FeastError, "entities.driver_id: is missing"),
        (["disabled_view:x"], [{"driver_id": 1}], FeastError, "it is disabled"),
    ],
)
def test_the_client_tells_a_fault_of_a_read_after_one_call(
    world: World, features: list[str], rows: list[dict[str, Any]], error: type[FeastError], words: str
) -> None:
    route = "/get-online-features"
    before = sum(world.requests(route, status) for status in (404, 422))
    with pytest.raises(error, match=words) as told:
        values(world.sdk, features, rows)
    assert type(told.value) is error
    assert sum(world.requests(route, status) for status in (404, 422)) == before + 1


def test_the_client_tells_a_fault_of_a_write_after_one_call(world: World) -> None:
    before = world.requests("/write-to-online-store", 422)
    ahead = NOW + timedelta(days=1)
    with pytest.raises(FeastError, match=r"1 of 2 rows are faulty; nothing was written; row 1: future_timestamp"):
        world.sdk.write_to_online_store(
            "trips", df=pd.concat([frame(trip(90, "x", 1.0)), frame(trip(91, "x", 1.0), moment=ahead)])
        )
    assert world.requests("/write-to-online-store", 422) == before + 1
    asked = [{"driver_id": 90, "customer_id": "x"}]
    assert statuses(world.sdk, ["trips:fare"], asked)["fare"] == ["NOT_FOUND"]


def test_the_client_tells_a_fault_of_a_materialization(world: World) -> None:
    with pytest.raises(RuntimeError, match=r"failed \(404\).*There is no feature view nope"):
        world.sdk.materialize(NOW - timedelta(days=1), NOW, ["nope"])
    with pytest.raises(RuntimeError, match=r"failed \(422\).*start_ts must lie before end_ts"):
        world.sdk.materialize(NOW, NOW - timedelta(days=1))
    with pytest.raises(RuntimeError, match=r"failed \(422\).*disabled_view cannot be materialized"):
        world.sdk.materialize_incremental(NOW, ["disabled_view"])


def test_a_store_that_is_down_is_a_503_in_feasts_form(tmp_path: Path, private_redis: RedisServer) -> None:
    address = private_redis.connection_string
    repo = write_repo(tmp_path / "repo", online={"type": "redis", "connection_string": address})
    settings = Settings(feature_repo=repo, online_timeout=0.5, online_write_timeout=0.5)
    feast_repo = open_repo(settings)
    set_up(settings, feast_repo)
    feast_repo.close()
    read = {"features": ["weather:rain"], "entities": {"any": [1]}}
    write = {"feature_view_name": "weather", "df": {"rain": [True]}}
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        assert client.post("/write-to-online-store", json=write).status_code == 200
        assert client.post("/get-online-features", json=read).json()["results"][0]["values"] == [True]
        private_redis.kill()
        for path, body in (("/get-online-features", read), ("/write-to-online-store", write)):
            response = client.post(path, json=body)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
            error = FeastError.from_error_detail(response.json())
            assert type(error) is FeastError
            assert "Redis" in str(error)
            assert address.partition(",")[0] not in str(error)
