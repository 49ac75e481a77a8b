"""append_batch on our offline stores: one row each, every row or none, and what cannot be kept is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import ConfigurationError, FieldError, UnstorableRowsError
from app.pushing.batch import RowBatch
from tests.contract.offline import NOON, READINGS, SOURCES, OfflineCase, batch, opened, sensors, write_offline_repo
from tests.servers import Database, Postgres

DEFINITIONS = (
    READINGS
    + """
from feast.types import Map

more = FeatureView(
    name="more", entities=[sensor], source=events, ttl=timedelta(0),
    schema=[Field(name="sensor_id", dtype=Int64), Field(name="value", dtype=Float64), Field(name="labels", dtype=Map)],
)

times = dict(timestamp_field="ts")
unstamped = {source}
unstamped.name = "unstamped"
rain = PushSource(name="rain", batch_source=unstamped)
weather = FeatureView(
    name="weather", entities=[], source=rain, ttl=timedelta(0), schema=[Field(name="value", dtype=Float64)]
)
"""
)


@pytest.fixture(params=[*SOURCES])
def offline(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[OfflineCase]:
    """Two views over one source of each kind in turn."""
    kind: str = request.param
    with postgres.database() if kind == "postgres" else nullcontext() as database:
        write_offline_repo(kind, tmp_path, database, DEFINITIONS)
        with opened(kind, tmp_path, database) as case:
            yield case


@pytest.fixture
def table(tmp_path: Path, postgres_database: Database) -> Iterator[OfflineCase]:
    """The PostgreSQL kind alone."""
    write_offline_repo("postgres", tmp_path, postgres_database)
    with opened("postgres", tmp_path, postgres_database) as case:
        yield case


def execute(case: OfflineCase, statement: str) -> list[tuple[object, ...]]:
    """As the administrator of the case's database."""
    assert case.database is not None
    with psycopg.connect(case.database.url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_views_that_share_a_source_get_one_row_for_each_that_was_pushed(offline: OfflineCase) -> None:
    columns: dict[str, list[Any]] = {
        "sensor_id": [1, 2],
        "value": [1.5, None],
        "note": ["a", None],
        "labels": [{"k": "v"}, None],
    }
    offline.store.append_batch([offline.views["readings"], offline.views["more"]], batch(columns))
    assert offline.sensors() == [1, 2]
    assert offline.newest() == offline.newest(view="more") == {1: 1.5, 2: None}
    table = offline.store.newest(offline.views["more"], NOON, NOON)
    assert dict(zip(table["sensor_id"].to_pylist(), table["labels"].to_pylist(), strict=True)) == {
        1: [("k", "v")],
        2: None,
    }


def test_which_rows_of_a_batch_are_missing_is_told_by_their_created_timestamps(offline: OfflineCase) -> None:
    views = [offline.views["readings"], offline.views["more"]]
    columns: dict[str, list[Any]] = {
        "sensor_id": [1, 2, 3],
        "value": [1.0] * 3,
        "note": ["n"] * 3,
        "labels": [None] * 3,
    }
    rows = batch(columns)

    def missing(*batches: RowBatch) -> list[int]:
        """Of the last of the batches; what else is asked for at the same time changes nothing."""
        return list(offline.store.missing(views, batches)[-1])

    assert missing(rows) == [0, 1, 2]
    # A correction of each, made later, is another row.
    offline.store.append_batch(views, replace(rows, created=[one + 1_000_000 for one in rows.created if one]))
    assert missing(rows) == [0, 1, 2]
    offline.store.append_batch(views, rows.take([1]))
    assert missing(rows) == [0, 2]
    offline.store.append_batch(views, rows.take([2, 0]))
    assert missing(rows) == []
    another_day = replace(rows, event=[one + 1 for one in rows.event])
    assert missing(another_day) == [0, 1, 2]
    assert missing(another_day, rows) == []
    long_ago = replace(rows, created=[one - 10**9 for one in rows.created if one])
    assert missing(rows, long_ago) == [0, 1, 2]
    offline.store.append_batch(views, long_ago.take([2]))
    assert missing(rows, another_day, long_ago) == [0, 1]
    assert missing(long_ago, rows) == []
    # Of two rows alike but in their created timestamps both are there, and one a moment later is not.
    again = replace(rows, created=[one + 1 for one in rows.created if one])
    offline.store.append_batch(views, again)
    assert missing(again, rows) == missing(rows, again) == []
    assert missing(replace(rows, created=[one + 2 for one in rows.created if one])) == [0, 1, 2]
    # Created timestamps far apart, and as many, are looked for all the same.
    days = replace(rows, created=[one - place * 10**11 for place, one in enumerate(rows.created) if one])
    assert missing(days) == [1, 2]
    offline.store.append_batch(views, days.take([2]))
    assert missing(days) == [1]
    unstamped = replace(rows, created=[None] * 3)
    assert missing(rows, unstamped) == []  # the first of them is there, whatever its created timestamp


def test_whether_a_row_without_a_key_is_missing_is_told_by_its_event_timestamp(offline: OfflineCase) -> None:
    views, rain = [offline.views["weather"]], batch({"value": [1.0]})
    assert list(offline.store.missing(views, [rain])[0]) == [0]
    offline.store.append_batch(views, rain)
    assert list(offline.store.missing(views, [rain])[0]) == []
    assert list(offline.store.missing(views, [replace(rain, event=[rain.event[0] + 1])])[0]) == [0]


@pytest.mark.parametrize("kind", ["text", "numeric"])
def test_rows_are_recognised_by_keys_that_the_table_keeps_as_another_type(table: OfflineCase, kind: str) -> None:
    execute(
        table,
        f"CREATE TABLE readings (sensor_id {kind}, raw_value float8, note text, ts timestamptz, made timestamptz)",
    )
    rows = sensors(1, 2)
    table.store.append_batch([table.view], rows.take([1]))
    assert list(table.store.missing([table.view], [rows])[0]) == [0]


def test_rows_that_cannot_be_kept_are_named_and_none_is_written(offline: OfflineCase) -> None:
    views = [offline.views["readings"], offline.views["more"]]
    labels: list[object] = [{"k": "v"}, {"k": 1}, None, {"k": {"deep": "v"}}]
    rows = batch({"sensor_id": [1, 2, 3, 4], "value": [1.0] * 4, "note": ["n"] * 4, "labels": labels})
    with pytest.raises(UnstorableRowsError) as caught:
        offline.store.append_batch(views, rows)
    assert {row: [fault.field for fault in faults] for row, faults in caught.value.faults.items()} == {
        1: ["labels"],
        3: ["labels"],
    }
    assert [error.field for error in caught.value.errors] == ["rows[1].labels", "rows[3].labels"]
    assert offline.files() == []
    offline.store.append_batch(views, rows.take([0, 2]))
    assert offline.sensors() == [1, 3]


def test_a_source_without_a_created_timestamp(tmp_path: Path, postgres: Postgres) -> None:
    for kind in SOURCES:
        with postgres.database() if kind == "postgres" else nullcontext() as database:
            folder = tmp_path / kind
            write_offline_repo(kind, folder, database, READINGS.replace('created_timestamp_column="made", ', ""))
            with opened(kind, folder, database) as case:
                case.store.append_batch([case.view], sensors(1, 2))
                assert case.newest() == {1: 1.0, 2: 2.0}
                assert case.store.newest(case.view, NOON, NOON)["created_timestamp"].null_count == 2


def test_what_only_the_server_can_refuse_is_named_by_row_and_column(table: OfflineCase) -> None:
    narrow = "sensor_id smallint, raw_value real, note varchar(3), ts timestamptz, made timestamptz"
    execute(table, f"CREATE TABLE readings ({narrow})")
    rows = batch({"sensor_id": [1, 2, 70_000], "value": [1.0] * 3, "note": ["abc", "abcd", "x"]})
    for kept, position, column in (([0, 1, 2], 1, "note"), ([0, 2], 1, "sensor_id")):
        with pytest.raises(UnstorableRowsError) as caught:
            table.store.append_batch([table.view], rows.take(kept))
        ((found, (fault,)),) = caught.value.faults.items()
        assert (found, fault.field) == (position, column)
    assert table.sensors() == []


def test_a_constraint_names_the_row(table: OfflineCase) -> None:
    table.store.append_batch([table.view], sensors(1))
    execute(table, "ALTER TABLE readings ADD CHECK (raw_value < 10)")
    with pytest.raises(UnstorableRowsError) as caught:
        table.store.append_batch([table.view], sensors(2, 30, 4))
    assert list(caught.value.faults) == [1]
    table.store.append_batch([table.view], sensors(2, 4))
    assert table.sensors() == [1, 2, 4]


def test_a_table_that_is_dropped_or_changed_behind_our_back_is_made_again(table: OfflineCase) -> None:
    table.store.append_batch([table.view], sensors(1))
    execute(table, "DROP TABLE readings")
    table.store.append_batch([table.view], sensors(2))
    execute(table, "ALTER TABLE readings DROP COLUMN note")
    table.store.append_batch([table.view], sensors(3))
    assert table.sensors() == [2, 3]
    assert table.store.newest(table.view, NOON, NOON)["note"].null_count == 1


def test_a_write_to_a_table_is_durable_whatever_the_server_chose(table: OfflineCase) -> None:
    assert table.database is not None
    execute(table, f'ALTER DATABASE "{table.database.name}" SET synchronous_commit = off')
    columns = "sensor_id bigint, raw_value float8, note text, ts timestamptz, made timestamptz"
    execute(table, f"CREATE TABLE readings ({columns}, mode text DEFAULT current_setting('synchronous_commit'))")
    table.store.append_batch([table.view], sensors(1))
    assert execute(table, "SELECT mode FROM readings") == [("on",)]


def test_connections_are_kept_open_and_used_again(table: OfflineCase) -> None:
    for number in range(5):
        table.store.append_batch([table.view], sensors(number))
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'freshet %' AND state = 'idle'"
    assert execute(table, count) == [(1,)]
    assert execute(table, "SELECT appends FROM _freshet_writers") == [(5,)]


def test_a_query_takes_no_rows(tmp_path: Path, postgres_database: Database) -> None:
    definitions = READINGS.replace("{source}", "PostgreSQLSource(name='s', query='SELECT 1 AS sensor_id', **times)")
    write_offline_repo("postgres", tmp_path, postgres_database, definitions)
    with opened("postgres", tmp_path, postgres_database) as case, pytest.raises(ConfigurationError, match="is a query"):
        case.store.append_batch([case.view], sensors(1))


def test_a_single_file_keeps_its_types_and_values_beyond_them_are_named(tmp_path: Path) -> None:
    write_offline_repo("single file", tmp_path, None)
    stamp = pa.timestamp("ns")
    file = tmp_path / "data" / "readings.parquet"
    columns = {"sensor_id": pa.array([1], pa.int16()), "raw_value": [0.5], "note": pa.array([None], pa.null())}
    pq.write_table(pa.table({**columns, "ts": pa.array([NOON], stamp), "made": pa.array([NOON], stamp)}), file)
    before = file.read_bytes()
    with opened("single file", tmp_path) as case:
        with pytest.raises(UnstorableRowsError) as caught:
            case.store.append_batch([case.view], sensors(2, 70_000, 3, 80_000))
        message = "cannot be written as int16, which its batch source has"
        assert caught.value.faults == {row: (FieldError("sensor_id", message),) for row in (1, 3)}
        case.store.append_batch([case.view], sensors(2, 3))
        assert case.newest() == {1: 0.5, 2: 2.0, 3: 3.0}
        assert file.read_bytes() == before
        assert case.store.compact([case.view]) == 1
        assert case.files() == [file]
        assert pq.read_schema(file).field("sensor_id").type == pa.int16()
        assert case.newest() == {1: 0.5, 2: 2.0, 3: 3.0}
        assert pq.read_table(file, columns=["note"])[0].to_pylist() == [None, "n", "n"]


def test_a_pattern_takes_no_rows(tmp_path: Path) -> None:
    source = "FileSource(name='s', path='data/*.parquet', **times)"
    write_offline_repo("folder", tmp_path, None, READINGS.replace("{source}", source))
    with opened("folder", tmp_path) as case:
        with pytest.raises(ConfigurationError, match="is a pattern"):
            case.store.append_batch([case.view], sensors(1))
        assert case.store.compact([case.view]) == 0
