"""Opening a folder of events: what fits, what is refused and how the refusal reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain import utc
from app.errors import ConfigurationError
from ingestion.events import EVENT_SCHEMA, check_schema, event_files, open_events

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def one_event(schema: pa.Schema = EVENT_SCHEMA) -> pa.Table:
    row = {
        "user_id": "u1",
        "session_id": "s1",
        "event_time": NOON,
        "arrival_time": NOON,
        "duration_sec": 1.5,
        "message_count": 2,
        "tool_invocations": 3,
        "model": "m",
        "tokens": 4,
    }
    return pa.Table.from_pylist([row], schema=EVENT_SCHEMA).cast(schema)


def retyped(column: str, type_: pa.DataType) -> pa.Schema:
    index = EVENT_SCHEMA.get_field_index(column)
    return EVENT_SCHEMA.set(index, pa.field(column, type_))


def test_an_empty_folder_is_an_empty_dataset_of_events(tmp_path: Path) -> None:
    events = open_events(tmp_path)
    assert events.schema == EVENT_SCHEMA
    assert events.count_rows() == 0


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere is not a folder of event files"):
        open_events(tmp_path / "nowhere")


def test_files_of_subfolders_count_and_hidden_ones_do_not(tmp_path: Path) -> None:
    for name in ("b.parquet", "a/x.parquet", "_tmp/x.parquet", ".c.parquet", "a/.tmp/y.parquet", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        pq.write_table(one_event(), path)
    assert event_files(tmp_path) == [tmp_path / "a/x.parquet", tmp_path / "b.parquet"]
    assert open_events(tmp_path).count_rows() == 2


def test_a_folder_whose_own_path_has_a_hidden_part_is_read(tmp_path: Path) -> None:
    folder = tmp_path / ".freshet" / "events"
    folder.mkdir(parents=True)
    pq.write_table(one_event(), folder / "a.parquet")
    assert open_events(folder).count_rows() == 1


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        ("user_id", pa.large_string()),
        ("session_id", pa.string_view()),
        ("model", pa.dictionary(pa.int32(), pa.string())),
        ("message_count", pa.int8()),
        ("tokens", pa.uint32()),
        ("duration_sec", pa.float32()),
        ("event_time", pa.timestamp("us", "Etc/UTC")),
        ("arrival_time", pa.timestamp("us", "+00:00")),
    ],
)
def test_types_that_lose_nothing_are_read_as_event_schema(tmp_path: Path, column: str, type_: pa.DataType) -> None:
    pq.write_table(one_event(retyped(column, type_)), tmp_path / "narrow.parquet")
    pq.write_table(one_event(), tmp_path / "plain.parquet")
    events = open_events(tmp_path).to_table()
    assert events.schema == EVENT_SCHEMA
    assert events.to_pylist() == one_event().to_pylist() * 2


def test_columns_may_come_in_any_order_and_beside_others(tmp_path: Path) -> None:
    columns = [*reversed(EVENT_SCHEMA.names), "country"]
    table = one_event().append_column("country", pa.array(["ch"])).select(columns)
    pq.write_table(table, tmp_path / "a.parquet")
    assert open_events(tmp_path).to_table().to_pylist() == one_event().to_pylist()


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        ("event_time", pa.timestamp("ns", "UTC")),
        ("event_time", pa.timestamp("us")),
        ("arrival_time", pa.timestamp("us", "America/New_York")),
        ("arrival_time", pa.int64()),
        ("tokens", pa.uint64()),
        ("tokens", pa.float64()),
        ("duration_sec", pa.int64()),
        ("user_id", pa.binary()),
    ],
)
def test_a_file_with_another_type_is_refused_by_column(tmp_path: Path, column: str, type_: pa.DataType) -> None:
    index = EVENT_SCHEMA.get_field_index(column)
    table = one_event().set_column(index, column, pa.nulls(1, type_))
    pq.write_table(table, tmp_path / "odd.parquet")
    with pytest.raises(ConfigurationError) as caught:
        open_events(tmp_path)
    wanted = EVENT_SCHEMA.field(column).type
    assert caught.value.detail == (
        f"{tmp_path / 'odd.parquet'} does not hold events: column {column} is {type_}, not {wanted}"
    )


def test_every_fault_is_named_at_once() -> None:
    schema = retyped("tokens", pa.string()).remove(0).append(pa.field("model", pa.string()))
    with pytest.raises(ConfigurationError) as caught:
        check_schema(schema, "x")
    assert caught.value.detail == (
        "x does not hold events: column user_id (string) is missing; "
        "column model (string) is there twice; column tokens is string, not int64"
    )


def test_a_file_that_is_no_parquet_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(ConfigurationError, match=r"broken\.parquet cannot be read as Parquet"):
        open_events(tmp_path)


def test_utc_takes_naive_times_as_utc_and_converts_others() -> None:
    assert utc(datetime(2026, 5, 4, 12)) == NOON  # noqa: DTZ001 - naive on purpose
    converted = utc(datetime(2026, 5, 4, 14, tzinfo=timezone(timedelta(hours=2))))
    assert converted == NOON
    assert converted.utcoffset() == timedelta(0)
