"""What our offline stores must do: the newest row by rule 1, appends that lose nothing, replacements that repeat."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from tests.contract.offline import BEGINNING, HOUR, NOON, SOURCES, OfflineCase, opened, write_offline_repo
from tests.servers import Postgres


@pytest.fixture(params=[*SOURCES])
def offline(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[OfflineCase]:
    """A folder of part files, one file, and a PostgreSQL table in turn."""
    kind: str = request.param
    with postgres.database() if kind == "postgres" else nullcontext() as database:
        write_offline_repo(kind, tmp_path, database)
        with opened(kind, tmp_path, database) as case:
            yield case


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
    if offline.database is not None:
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
