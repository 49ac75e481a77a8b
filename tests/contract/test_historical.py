"""Feast's get_historical_features over our stores: what its own joins get wrong, each as a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import SavedDatasetPostgreSQLStorage
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from app.errors import InvalidRequestError
from app.settings import Settings
from app.stores.definitions import apply_definitions
from app.stores.repo import open_repo
from tests.contract.history import DEFINITIONS, HOUR, KINDS, NOON, HistoryCase, opened_history
from tests.oracle import Fact
from tests.repos.everything import write_repo
from tests.servers import Postgres

ON_DEMAND = """
from feast import RequestSource
from feast.on_demand_feature_view import on_demand_feature_view

@on_demand_feature_view(
    sources=[trips, RequestSource(name="asked", schema=[Field(name="rate", dtype=Float64)])],
    schema=[Field(name="converted", dtype=Float64)], mode="pandas",
)
def in_currency(frame):
    import pandas as pd
    return pd.DataFrame({{"converted": frame["fare"] * frame["rate"]}})
"""


@pytest.fixture(scope="module", params=KINDS)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[HistoryCase]:
    """One store after the other, with three trips and three ratings."""
    kind: str = request.param
    with (
        postgres.database() if kind == "postgres" else nullcontext() as database,
        opened_history(kind, tmp_path_factory.mktemp("historical"), database, DEFINITIONS + ON_DEMAND) as opened,
    ):
        trips = [Fact((1, "a"), NOON, NOON, (1.5, "n", 2)), Fact((1, "a"), NOON, NOON + HOUR, (2.5, "n", 2**53 + 1))]
        opened.write("trips", [*trips, Fact((12, "3"), NOON, NOON, (9.0, "other", 3))])
        opened.write("ratings", [Fact((1,), NOON, None, (stars, "w")) for stars in (3, 5, 4)])
        yield opened


def frame(*rows: tuple[datetime, int | None, str | None]) -> pd.DataFrame:
    """Entities with a label that nobody asks about."""
    found = pd.DataFrame(rows, columns=["event_timestamp", "driver_id", "customer_id"])
    return found.assign(label=range(len(rows)))


def test_every_row_once_in_order_with_its_columns(case: HistoryCase) -> None:
    """dask drops rows outside the ttl and repeats others; PostgreSQL repeats rows that tie, and mixes up keys."""
    rows = frame((NOON, 1, "a"), (NOON + 2 * HOUR, 1, "a"), (NOON, 1, "a"), (NOON - HOUR, 1, "a"), (NOON, 1, "23"))
    job = case.repo.store.get_historical_features(rows, ["trips:fare", "ratings:stars", "trips:stops"])
    table = job.to_arrow()
    assert table.column_names == [*rows.columns, "fare", "stars", "stops"]
    assert table["label"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["fare"].to_pylist() == [2.5, None, 2.5, None, None]
    assert table["stars"].to_pylist() == [5, 5, 5, None, 5]
    assert table["stops"].to_pylist() == [2**53 + 1, None, 2**53 + 1, None, None]
    assert job.to_df()["label"].tolist() == [0, 1, 2, 3, 4]


def test_what_was_not_known_yet_does_not_leak(case: HistoryCase) -> None:
    rows = frame((NOON, 1, "a"))
    known = case.repo.store.get_historical_features(rows, ["trips:fare"], filter_by_created_timestamp=True)
    assert known.to_arrow()["fare"].to_pylist() == [1.5]


def test_times_of_any_kind_are_utc(case: HistoryCase) -> None:
    """Feast's PostgreSQL store follows the time zone of the session for times without one."""
    naive = frame((NOON.replace(tzinfo=None), 1, "a"))
    abroad = frame((NOON, 1, "a")).assign(event_timestamp=pd.to_datetime([NOON]).tz_convert("Asia/Tokyo"))
    text = frame((NOON, 1, "a")).assign(event_timestamp=["2026-11-22T12:00:00Z"])
    for rows in (naive, abroad, text):
        found = case.repo.store.get_historical_features(rows, ["trips:fare"]).to_arrow()
        assert found["fare"].to_pylist() == [2.5]


def test_keys_as_pandas_makes_them_of_missing_ones(case: HistoryCase) -> None:
    rows = frame((NOON, 1, "a"), (NOON, None, "a"), (NOON, 1, None))
    assert str(rows["driver_id"].dtype) == "float64"
    found = case.repo.store.get_historical_features(rows, ["trips:fare"]).to_arrow()
    assert found["fare"].to_pylist() == [2.5, None, None]


def test_a_service_with_renamed_views_and_full_names(case: HistoryCase) -> None:
    rows = frame((NOON, 1, "a")).rename(columns={"driver_id": "first_driver"}).assign(second_driver=12, driver_id=1)
    service = case.repo.store.get_feature_service("both")
    found = case.repo.store.get_historical_features(rows, service, full_feature_names=True).to_arrow()
    assert found.slice(0, 1).select(["first__stars", "first__why", "second__stars", "trips__fare"]).to_pylist() == [
        {"first__stars": 5, "first__why": "w", "second__stars": None, "trips__fare": 2.5}
    ]


def test_on_demand_features_are_computed_by_feast(case: HistoryCase) -> None:
    rows = frame((NOON, 1, "a"), (NOON, 12, "3")).assign(rate=[2.0, 0.5])
    found = case.repo.store.get_historical_features(rows, ["in_currency:converted", "trips:note"]).to_arrow()
    assert found["converted"].to_pylist() == [5.0, 4.5]
    assert found["note"].to_pylist() == ["n", "other"]


@pytest.mark.filterwarnings("ignore:(Saving|Retrieving) datasets? is an experimental:RuntimeWarning")
def test_a_saved_dataset_keeps_the_rows_and_is_not_replaced_unasked(case: HistoryCase) -> None:
    rows = frame((NOON, 1, "a"), (NOON, 12, "3"))
    job = case.repo.store.get_historical_features(rows, ["trips:fare"])
    storage: Any = (
        SavedDatasetFileStorage(str(case.folder / "data" / "saved.parquet"))
        if case.database is None
        else SavedDatasetPostgreSQLStorage("saved")
    )
    saved = case.repo.store.create_saved_dataset(job, "training", storage)
    assert sorted(saved.to_arrow()["fare"].to_pylist()) == [2.5, 9.0]
    assert saved.min_event_timestamp == saved.max_event_timestamp == NOON
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        case.repo.store.create_saved_dataset(job, "training", storage)
    again = case.repo.store.create_saved_dataset(job, "training", storage, allow_overwrite=True)
    assert again.to_arrow().num_rows == 2


def test_feast_itself_materializes_what_pandas_wrote(case: HistoryCase) -> None:
    """Its materialize reads all rows, and its duckdb store fails on the nanoseconds that pandas writes."""
    times = [NOON, NOON + HOUR, NOON + HOUR]
    weather = pd.DataFrame({"ts": times, "made": [NOON, NOON, NOON + HOUR], "rain": [1.0, 2.0, 3.0]})
    weather["ts"], weather["made"] = (
        weather[name].dt.tz_localize(None).astype("datetime64[ns]") for name in ("ts", "made")
    )
    if case.database is None:
        weather.to_parquet(case.folder / "data" / "weather.parquet")
    else:
        case.write_table("weather", pa.Table.from_pandas(weather, preserve_index=False))
    case.repo.store.materialize(NOON, NOON + HOUR, ["weather"])
    found = case.repo.store.get_online_features(["weather:rain", "ratings:stars"], [{"driver_id": 1}]).to_dict()
    assert found["rain"] == [3.0]


def test_faults_are_told_by_name(case: HistoryCase) -> None:
    rows = frame((NOON, 1, "a"))
    with pytest.raises(InvalidRequestError, match="no column customer_id, which is a join key"):
        case.repo.store.get_historical_features(rows.drop(columns="customer_id"), ["trips:fare"]).to_arrow()
    nothing = rows.assign(event_timestamp=pd.to_datetime(pd.Series([None]), utc=True))
    with pytest.raises(InvalidRequestError, match="1 rows of the entity frame have no event timestamp"):
        case.repo.store.get_historical_features(nothing, ["trips:fare"]).to_arrow()


def test_entities_by_a_query(case: HistoryCase) -> None:
    query = (
        "SELECT timestamp '2026-11-22 12:00:00' AS event_timestamp, 1 AS driver_id, 'a%' || '' AS tag, 1.5 AS number"
    )
    if case.database is None:
        with pytest.raises(InvalidRequestError, match="Files know no SQL"):
            case.repo.store.get_historical_features(query, ["ratings:stars"])
        return
    with psycopg.connect(case.database.url) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone = 'Asia/Tokyo'")
    found = case.repo.store.get_historical_features(query, ["ratings:stars"]).to_arrow()
    assert found.to_pylist() == [
        {"event_timestamp": NOON, "driver_id": 1, "tag": "a%", "number": 1.5, "stars": 5},
    ]


@pytest.mark.parametrize("kind", ["file", "dask"])
def test_a_stock_repo_that_names_another_file_store(tmp_path: Path, kind: str) -> None:
    settings = Settings(feature_repo=write_repo(tmp_path, offline={"type": kind}))
    repo = open_repo(settings)
    apply_definitions(repo, settings)
    (tmp_path / "data" / "drivers").mkdir()
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    columns = {"driver_id": [1, 1, 2], "i64": [1, 2, 3], "ts": [noon, noon, noon - timedelta(days=9)]}
    pq.write_table(pa.table({**columns, "made": columns["ts"]}), tmp_path / "data" / "drivers" / "rows.parquet")
    later = noon + timedelta(minutes=1)
    spine = pd.DataFrame({"driver_id": [2, 1, 3, 1, 1], "event_timestamp": [later, later, later, later, noon]})
    found = repo.store.get_historical_features(spine, ["drivers:i64"]).to_arrow()
    repo.close()
    assert found["driver_id"].to_pylist() == [2, 1, 3, 1, 1]
    assert found["i64"].to_pylist() == [None, 2, None, 2, 2]
