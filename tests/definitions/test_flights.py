"""examples/flights, a stock Feast repo over real data: every computed row, and every value that is served, against an
independent computation with pandas over the whole data set."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from app.settings import PROJECT_ROOT
from tests.definitions.flights_reference import KEYS, REFERENCE
from tests.integration.profiles import PROFILES, opened
from tests.servers import Postgres, Redis

EXAMPLE = PROJECT_ROOT / "examples" / "flights"
# The reference of one view takes a third of a minute; the rules that it shows are those of the other views.
SLOW = {"origin_departures"}
VIEWS = [pytest.param(view, marks=pytest.mark.full) if view in SLOW else view for view in REFERENCE]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its data prepared by its own program."""
    copy = tmp_path_factory.mktemp("flights") / "repo"
    shutil.copytree(EXAMPLE, copy, ignore=lambda folder, names: [name for name in names if name.endswith(".parquet")])
    subprocess.run([sys.executable, str(copy / "prepare.py"), "--out", str(copy / "data")], check=True)
    return copy


@pytest.fixture(scope="module", params=[PROFILES[0], pytest.param(PROFILES[1], marks=pytest.mark.full)])
def client(
    request: pytest.FixtureRequest,
    repo: Path,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: Postgres,
    redis_server: Redis,
) -> Iterator[TestClient]:
    """The example served by Freshet on the embedded stores, and on Redis and PostgreSQL."""
    with postgres.database() as database:
        if request.param == "production":
            command = [
                sys.executable,
                str(repo / "prepare.py"),
                "--out",
                str(repo / "data"),
                "--postgres",
                database.url,
            ]
            subprocess.run(command, check=True)
        folder = tmp_path_factory.mktemp("data")
        with opened(request.param, folder, database, redis_server, repo) as profile, profile.client() as client:
            yield client


@functools.cache
def reference(view: str) -> pd.DataFrame:
    """The independent rows of a view; computed once, for the slow one takes half a minute."""
    return REFERENCE[view]()


def same(one: Any, other: Any) -> bool:
    """Equal values: null is None in JSON and NaN or None in pandas; floats to 1e-9."""
    if one is None or other is None or one != one or other != other:
        return bool(pd.isna(one) and pd.isna(other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(np.isclose(one, other, rtol=1e-9, atol=0))
    return bool(one == other)


@pytest.mark.parametrize("view", VIEWS)
def test_every_computed_row_equals_the_reference(repo: Path, view: str) -> None:
    expected = reference(view)
    order = [*KEYS[view], "event_timestamp"]
    computed = pq.read_table(repo / "data" / f"{view}.parquet").to_pandas().sort_values(order, ignore_index=True)
    assert len(computed) == len(expected) > 1000
    for column in expected.columns:
        one, other = computed[column], expected[column]
        if column == "event_timestamp":
            assert (one.dt.as_unit("ns") == other.dt.as_unit("ns")).all()
        elif pd.api.types.is_float_dtype(other):
            np.testing.assert_allclose(one.astype(float), other, rtol=1e-9, equal_nan=True, err_msg=column)
        else:
            assert (one.isna() == other.isna()).all(), column
            assert (one[other.notna()] == other[other.notna()]).all(), column


@pytest.mark.parametrize("view", VIEWS)
def test_every_entity_is_served_its_newest_row(client: TestClient, view: str) -> None:
    keys = KEYS[view]
    newest = _newest(reference(view), keys)
    features = [column for column in newest.columns if column not in (*keys, "event_timestamp")]
    for start in range(0, len(newest), 1000):
        chunk = newest.iloc[start : start + 1000]
        body = {
            "features": [f"{view}:{feature}" for feature in features],
            "entities": {key: chunk[key].tolist() for key in keys},
        }
        response = client.post("/v1/online-features", json=body)
        assert response.status_code == 200, response.text
        answer = response.json()
        times = [pd.Timestamp(moment) for moment in answer["event_timestamps"][view]]
        assert times == chunk["event_timestamp"].tolist()
        for served, statuses, expected in zip(
            answer["values"], answer["statuses"], chunk[features].itertuples(index=False), strict=True
        ):
            assert all(map(same, served, expected)), (served, expected)
            assert statuses == ["NULL_VALUE" if pd.isna(value) else "PRESENT" for value in expected]


def _newest(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return rows.sort_values("event_timestamp").drop_duplicates(keys, keep="last").reset_index(drop=True)


def test_a_feature_service_joins_an_airport_a_carrier_and_the_pair(client: TestClient) -> None:
    response = client.get("/v1/online-features/departure_delay_v1?origin=JFK&carrier=B6")
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["entity"] == {"origin": "JFK", "carrier": "B6"}
    assert set(body["event_timestamps"]) >= {"origin_weather", "origin_departures", "route_departures"}
    assert body["statuses"]["temp"] == "PRESENT"


def test_full_names_tell_equal_feature_names_apart(client: TestClient) -> None:
    path = "/v1/online-features/departure_delay_wide_v1?origin=JFK&carrier=B6"
    ambiguous = client.get(path)
    assert ambiguous.status_code == 422
    assert ambiguous.json()["errors"][0]["field"] == "full_feature_names"
    features = client.get(f"{path}&full_feature_names=true").json()["features"]
    assert features["carrier_departures__dep_delay_mean_7d"] != features["route_departures__dep_delay_mean_7d"]
    # Stock Feast leaves out the features of python-mode on-demand views under full names.
    assert any(name.startswith("weather_risk__") and value is not None for name, value in features.items())


def test_an_int64_key_is_read_from_the_query(client: TestClient) -> None:
    assert client.get("/v1/online-features/flight_v1?flight=1").json()["entity"] == {"flight": 1}
    refused = client.get("/v1/online-features/flight_v1?flight=one")
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"field": "flight", "message": "expected an integer"}]
