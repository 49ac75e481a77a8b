"""What our offline stores must do: the newest row by rule 1, appends that lose nothing, replacements that repeat."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from app.domain import ViewSpec
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.offline import FeastOfflineStore
from app.stores.repo import open_repo
from tests.servers import Database, Postgres

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_SOURCES = {
    "folder": "FileSource(name='s', path='data/readings', **times)",
    "single file": "FileSource(name='s', path='data/readings.parquet', **times)",
    "postgres": "PostgreSQLSource(name='s', table='readings', **times)",
}
_DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64, String

times = dict(timestamp_field="ts", created_timestamp_column="made", field_mapping={{"raw_value": "value"}})
sensor = Entity(name="sensor", join_keys=["sensor_id"], value_type=ValueType.INT64)
events = PushSource(name="events", batch_source={source})
readings = FeatureView(
    name="readings", entities=[sensor], source=events, ttl=timedelta(0),
    schema=[Field(name="sensor_id", dtype=Int64), Field(name="value", dtype=Float64), Field(name="note", dtype=String)],
)
"""


@dataclass(frozen=True)
class OfflineCase:
    """An offline store, opened, with one view whose value column has another name in the source."""

    kind: str
    folder: Path
    database: Database
    store: FeastOfflineStore
    view: ViewSpec

    def append(self, *rows: tuple[int, float | None, datetime, datetime], note: str = "n") -> None:
        """Append rows of (sensor, value, event, created)."""
        values = [{"sensor_id": sensor, "value": value, "note": note} for sensor, value, _, _ in rows]
        self.store.append([self.view], values, [(event, created) for _, _, event, created in rows])

    def newest(self, start: datetime = BEGINNING, end: datetime = NOON) -> dict[int, Any]:
        """The value of each sensor's newest row."""
        table = self.store.newest(self.view, start, end)
        return dict(zip(table["sensor_id"].to_pylist(), table["value"].to_pylist(), strict=True))

    def stored(self) -> int:
        """How many rows the source holds."""
        if self.kind == "postgres":
            with psycopg.connect(self.database.url) as connection:
                found = connection.execute("SELECT count(*) FROM readings").fetchone()
                return int(found[0]) if found else 0
        files = [*self.folder.glob("data/readings/*.parquet"), *self.folder.glob("data/readings.parquet")]
        return sum(int(pq.read_table(file).num_rows) for file in files)


@pytest.fixture(params=[*_SOURCES])
def offline(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[OfflineCase]:
    """A folder of part files, one file, and a PostgreSQL table in turn."""
    (tmp_path / "data").mkdir()
    (tmp_path / "definitions.py").write_text(_DEFINITIONS.format(source=_SOURCES[request.param]), encoding="utf-8")
    with postgres.database() as database:
        connection = database.feast_store
        config = {
            "project": "lab",
            "provider": "local",
            "registry": {"registry_type": "sql", "path": "sqlite:///data/registry.db"},
            "online_store": {"type": "sqlite", "path": "data/online.db"},
            "offline_store": connection if request.param == "postgres" else {"type": "file"},
            "entity_key_serialization_version": 3,
        }
        (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        settings = Settings(feature_repo=tmp_path)
        repo = open_repo(settings)
        apply_definitions(repo, settings)
        snapshot = RegistryReader(repo).read()
        store = FeastOfflineStore(repo)
        store.use(snapshot.feast_views)
        yield OfflineCase(request.param, tmp_path, database, store, snapshot.catalog.views["readings"])
        repo.close()


def test_a_source_that_was_never_written_has_no_rows(offline: OfflineCase) -> None:
    table = offline.store.newest(offline.view, BEGINNING, NOON)
    assert table.num_rows == 0
    assert {"sensor_id", "value", "note", "event_timestamp", "created_timestamp"} == set(table.column_names)


def test_the_newest_row_of_each_entity_up_to_the_cutoff(offline: OfflineCase) -> None:
    offline.append((1, 1.0, NOON - HOUR, NOON), (1, 2.0, NOON, NOON), (1, 9.0, NOON + HOUR, NOON))
    offline.append((2, 3.0, NOON - HOUR * 3, NOON), (3, None, NOON, NOON))
    assert offline.newest() == {1: 2.0, 2: 3.0, 3: None}
    assert offline.newest(start=NOON - HOUR * 2) == {1: 2.0, 3: None}
    assert offline.newest(start=NOON, end=NOON) == {1: 2.0, 3: None}


def test_ties_go_to_the_newest_created_timestamp_and_then_to_the_greatest_value(offline: OfflineCase) -> None:
    offline.append((1, 1.0, NOON, NOON + HOUR), (1, 2.0, NOON, NOON))
    offline.append((2, 9.0, NOON, NOON), (2, 10.0, NOON, NOON))
    assert offline.newest() == {1: 1.0, 2: 10.0}


def test_times_come_back_in_utc_to_the_microsecond(offline: OfflineCase) -> None:
    event = NOON - timedelta(microseconds=1)
    offline.append((1, 1.0, event, NOON))
    table = offline.store.newest(offline.view, BEGINNING, NOON)
    assert table["event_timestamp"].to_pylist() == [event]
    assert table["created_timestamp"].to_pylist() == [NOON]
    assert table.schema.field("event_timestamp").type == pa.timestamp("us", tz="UTC")


def test_appends_at_once_lose_nothing(offline: OfflineCase) -> None:
    def append(writer: int) -> None:
        for step in range(5):
            offline.append((writer * 100 + step, float(step), NOON, NOON))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(8)))
    assert offline.stored() == 40
    assert len(offline.newest()) == 40


def test_replacing_a_slice_leaves_one_copy(offline: OfflineCase) -> None:
    def computed(value: float) -> pa.Table:
        stamps = pa.array([NOON], pa.timestamp("us", tz="UTC"))
        return pa.table({"sensor_id": [1], "raw_value": [value], "note": ["c"], "ts": stamps, "made": stamps})

    offline.store.replace(offline.view, computed(1.0), NOON, NOON)
    offline.store.replace(offline.view, computed(0.5), NOON, NOON)
    assert offline.stored() == 1
    assert offline.newest() == {1: 0.5}


def test_a_null_created_timestamp_is_the_oldest(offline: OfflineCase) -> None:
    offline.append((1, 1.0, NOON, NOON))
    stamp = pa.timestamp("us", tz="UTC")
    table = pa.table(
        {
            "sensor_id": [1],
            "raw_value": [2.0],
            "note": ["n"],
            "ts": pa.array([NOON], stamp),
            "made": pa.array([None], stamp),
        }
    )
    store: Any = offline.store
    store._store.write_rows(store._config, store._source(offline.view), table)
    assert offline.newest() == {1: 1.0}


def test_nanoseconds_and_naive_times_of_pandas_are_read(offline: OfflineCase) -> None:
    if offline.kind == "postgres":
        with psycopg.connect(offline.database.url) as connection:
            connection.execute(
                "CREATE TABLE readings (sensor_id bigint, raw_value float8, note text, ts timestamp, made timestamp)"
            )
            connection.execute("INSERT INTO readings VALUES (1, 1.5, 'n', '2026-11-22 11:00', '2026-11-22 11:00')")
    else:
        frame = pd.DataFrame({"sensor_id": [1], "raw_value": [1.5], "note": ["n"]})
        frame["ts"] = pd.to_datetime(["2026-11-22T11:00:00"]).astype("datetime64[ns]")
        frame["made"] = frame["ts"]
        path = offline.folder / (
            "data/readings.parquet" if offline.kind == "single file" else "data/readings/pandas.parquet"
        )
        path.parent.mkdir(exist_ok=True)
        frame.to_parquet(path)
    table = offline.store.newest(offline.view, BEGINNING, NOON)
    assert table["value"].to_pylist() == [1.5]
    assert table["event_timestamp"].to_pylist() == [NOON - HOUR]
