"""Results in every format: the same rows read back, and the same bytes however the rows come in."""

from __future__ import annotations

import base64
import contextlib
import csv
import gc
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequestError, QuotaExceededError
from app.exports.destination import Destination
from app.exports.formats import ExportFormat, result_writer
from app.exports.row_groups import RowGroups

MOMENTS = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - the zone is the column's
TEXT = st.text(max_size=5)
INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): INT64,
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.binary(): st.binary(max_size=5),
    pa.timestamp("us", "UTC"): MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
    pa.timestamp("us"): MOMENTS,
    pa.timestamp("ms", "Europe/Berlin"): MOMENTS.map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC)),
    pa.date32(): st.dates(date(1700, 1, 1)),
    pa.decimal128(38, 2): st.decimals(-(10**30), 10**30, places=2),
}
NESTED: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.list_(dtype): st.lists(st.none() | values, max_size=3) for dtype, values in SCALARS.items()
}
NESTED |= {
    pa.list_(pa.float32(), 2): st.lists(SCALARS[pa.float32()], min_size=2, max_size=2),
    pa.map_(pa.string(), pa.float64()): st.dictionaries(TEXT, st.none() | st.floats(), max_size=3),
    pa.map_(pa.string(), pa.int64()): st.dictionaries(TEXT, st.none() | INT64, max_size=3),
    pa.struct([("a", pa.int64()), ("B \"'", pa.float64())]): st.fixed_dictionaries(
        {"a": st.none() | INT64, "B \"'": st.none() | st.floats()}
    ),
    pa.list_(pa.map_(pa.string(), pa.binary())): st.lists(
        st.none() | st.dictionaries(TEXT, st.binary(max_size=3), max_size=2), max_size=2
    ),
    pa.list_(pa.struct([("t", pa.timestamp("us", "UTC"))])): st.lists(
        st.none() | st.fixed_dictionaries({"t": st.none() | SCALARS[pa.timestamp("us", "UTC")]}), max_size=2
    ),
}
TYPES = SCALARS | NESTED


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Columns of any types, a row number first, and names that are hard on SQL, CSV and JSON."""
    rows = draw(st.integers(0, 6))
    names = draw(st.lists(st.text(min_size=1, max_size=4), max_size=4, unique=True))
    columns: dict[str, pa.Array] = {"row": pa.array(range(rows), pa.int64())}
    for name in names:
        if name != "row" and "\0" not in name:
            dtype = draw(st.sampled_from(list(TYPES)))
            values = draw(st.lists(st.none() | TYPES[dtype], min_size=rows, max_size=rows))
            columns[name] = pa.array(values, dtype)
    return pa.table(columns)


def batches(table: pa.Table, cuts: Sequence[int] = ()) -> list[pa.RecordBatch]:
    """The rows in batches that end at these rows, each with buffers of its own."""
    ends = sorted({min(cut, table.num_rows) for cut in cuts} | {table.num_rows})
    found = []
    start = 0
    for end in ends:
        part = pa.Table.from_pylist(table.slice(start, end - start).to_pylist(maps_as_pydicts="strict"), table.schema)
        found += part.to_batches()
        start = end
    return found


def written(form: ExportFormat, schema: pa.Schema, rows: Iterable[pa.RecordBatch]) -> bytes:
    """The file."""
    sink = io.BytesIO()
    with result_writer(form, schema, sink) as writer:
        number = 0
        for batch in rows:
            writer.write(batch)
            number += batch.num_rows
    assert writer.rows == number
    return sink.getvalue()


def plain(value: Any) -> Any:
    """What JSON makes of a value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value.tzinfo else f"{plain_naive(value)}Z"
    if isinstance(value, Decimal | date | time):
        return str(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def plain_naive(value: datetime) -> str:
    """A naive moment, which is UTC."""
    return value.isoformat(timespec="microseconds")


def read_parquet(data: bytes) -> list[dict[str, Any]]:
    return rows_of(pq.read_table(io.BytesIO(data)))


def read_arrow(data: bytes) -> list[dict[str, Any]]:
    return rows_of(pa.ipc.open_file(io.BytesIO(data)).read_all())


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    table.validate(full=True)
    rows: list[dict[str, Any]] = table.to_pylist(maps_as_pydicts="strict")
    return rows


@given(tables())
@pytest.mark.parametrize("form", [ExportFormat.PARQUET, ExportFormat.ARROW])
def test_typed_formats_give_back_the_same_rows_and_types(form: ExportFormat, table: pa.Table) -> None:
    data = written(form, table.schema, batches(table))

    read = {ExportFormat.PARQUET: read_parquet, ExportFormat.ARROW: read_arrow}[form](data)
    assert repr(read) == repr(rows_of(table))
    found = pq.read_schema(io.BytesIO(data)) if form is ExportFormat.PARQUET else pa.ipc.open_file(data).schema
    assert found.types == table.schema.types
    assert found.names == table.column_names


@settings(max_examples=40)
@given(tables())
def test_json_lines_hold_every_value(table: pa.Table) -> None:
    lines = written(ExportFormat.JSONL, table.schema, batches(table)).decode().split("\n")

    assert lines.pop() == ""
    expected = [plain(row) for row in rows_of(table)]
    assert [json.loads(line) for line in lines] == expected
    assert [list(json.loads(line)) for line in lines] == [table.column_names] * table.num_rows


@settings(max_examples=40)
@given(tables())
def test_csv_holds_every_value(table: pa.Table) -> None:
    data = written(ExportFormat.CSV, table.schema, batches(table)).decode()

    header, *rows = csv.reader(io.StringIO(data, newline=""))
    assert header == table.column_names
    assert len(rows) == table.num_rows
    for text, row in zip(rows, rows_of(table), strict=True):
        for cell, field in zip(text, table.schema, strict=True):
            assert_cell(cell, row[field.name], field.type)


def assert_cell(cell: str, value: Any, dtype: pa.DataType) -> None:
    """A cell says the value."""
    if value is None:
        assert cell == ""
    elif pa.types.is_nested(dtype):
        assert json.loads(cell) == plain(value)
    elif isinstance(value, float):
        assert repr(pa.scalar(float(cell), dtype).as_py()) == repr(value)
    elif isinstance(value, datetime):
        found = datetime.fromisoformat(cell)
        assert found == value
    elif isinstance(value, bool):
        assert cell == str(value).lower()
    elif isinstance(value, int):
        assert int(cell) == value
    elif isinstance(value, Decimal):
        assert Decimal(cell) == value
    else:
        assert cell == plain(value)


@settings(max_examples=25)
@given(tables(), st.lists(st.integers(0, 6), max_size=3))
@pytest.mark.parametrize("form", ExportFormat)
def test_the_batches_leave_no_trace(form: ExportFormat, table: pa.Table, cuts: list[int]) -> None:
    whole = written(form, table.schema, batches(table))

    assert written(form, table.schema, batches(table, cuts)) == whole
    assert written(form, table.schema, table.to_batches(max_chunksize=2)) == whole


@pytest.mark.parametrize("form", ExportFormat)
def test_without_a_row_the_columns_are_still_there(form: ExportFormat) -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.list_(pa.string()))])
    data = written(form, schema, [])

    assert written(form, schema, batches(schema.empty_table())) == data
    if form is ExportFormat.PARQUET:
        assert pq.read_table(io.BytesIO(data)).schema.types == schema.types
    elif form is ExportFormat.ARROW:
        assert pa.ipc.open_file(data).read_all().schema == schema
    else:
        assert data == {ExportFormat.CSV: b'"a","b"\n', ExportFormat.JSONL: b""}[form]


def garbage(values: list[int]) -> pa.RecordBatch:
    """1, null, 3, each with something else under the null."""
    mask = pa.array([False, True, False])
    flat = pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\x05"), pa.array(values).buffers()[1]])
    numbers = pa.array(values)
    objects = pa.StructArray.from_arrays([numbers], ["a"], mask=mask)
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), objects, mask=mask)
    fixed = pa.FixedSizeListArray.from_arrays(objects, 1, mask=mask)
    keys = pa.array([str(value) for value in values])
    maps = pa.MapArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), keys, objects, mask=mask)
    flags = pa.array([True, False, True, values[1] > 5])[:3]
    return pa.record_batch([flat, objects, lists, fixed, maps, flags], names=list("abcdef"))


@pytest.mark.parametrize("form", ExportFormat)
def test_what_lies_under_a_null_leaves_no_trace(form: ExportFormat) -> None:
    one, other = garbage([1, 2, 3]), garbage([1, 9, 3])
    assert one.to_pylist() == other.to_pylist()

    assert written(form, one.schema, [one]) == written(form, one.schema, [other])


@pytest.mark.parametrize("form", ExportFormat)
def test_encodings_extensions_and_metadata_leave_no_trace(form: ExportFormat) -> None:
    texts = pa.array(["b", "a", None, "b"])
    json_type = pa.json_(pa.string())
    plain_columns = pa.table({"a": texts, "b": texts, "c": texts, "d": pa.array([["b"], ["a"], None, [None]])})
    fields = [
        pa.field("a", pa.dictionary(pa.int8(), pa.string()), metadata={"origin": "pandas"}),
        pa.field("b", json_type),
        pa.field("c", pa.string_view()),
        pa.field("d", pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    ]
    encoded = pa.Table.from_arrays(
        [
            texts.dictionary_encode().cast(fields[0].type),
            pa.ExtensionArray.from_storage(json_type, texts),
            texts.cast(pa.string_view()),
            plain_columns["d"].combine_chunks().cast(fields[3].type),
        ],
        schema=pa.schema(fields, metadata={"pandas": "{}"}),
    )

    expected = written(form, plain_columns.schema, plain_columns.to_batches())
    assert written(form, encoded.schema, encoded.to_batches(max_chunksize=1)) == expected


@pytest.mark.parametrize(
    ("form", "dtype"),
    [
        (ExportFormat.CSV, pa.duration("us")),
        (ExportFormat.JSONL, pa.list_(pa.duration("us"))),
        (ExportFormat.PARQUET, pa.month_day_nano_interval()),
        (ExportFormat.CSV, pa.month_day_nano_interval()),
        (ExportFormat.ARROW, pa.run_end_encoded(pa.int32(), pa.string())),
        (ExportFormat.PARQUET, pa.list_(pa.list_view(pa.string()))),
    ],
)
def test_types_that_a_format_does_not_hold_are_refused_by_name(form: ExportFormat, dtype: pa.DataType) -> None:
    schema = pa.schema([("a", pa.int64()), ("b", dtype), ("c", dtype)])
    with pytest.raises(InvalidRequestError, match=f"The format {form} does not hold every column") as caught:
        written(form, schema, [])

    assert [error.field for error in caught.value.errors] == ["b", "c"]
    assert f"{dtype} is not written as {form}" in caught.value.errors[0].message


def test_a_batch_with_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="has the columns"):
        written(ExportFormat.CSV, pa.schema([("a", pa.int64())]), [pa.record_batch({"b": [1]})])


def test_names_of_columns_may_be_anything() -> None:
    names = ["a", "A", "it's", 'a "b"', "a,b", "c0", "\u00fc\n"]
    batch = pa.record_batch([pa.array([[number]]) for number in range(len(names))], names)

    assert json.loads(written(ExportFormat.JSONL, batch.schema, [batch])) == {
        name: [number] for number, name in enumerate(names)
    }
    text = written(ExportFormat.CSV, batch.schema, [batch]).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [names, [f"[{number}]" for number in range(len(names))]]


def test_times_of_other_zones_are_utc_in_csv() -> None:
    # Berlin was 53 minutes and 28 seconds ahead; Arrow would write +0053.
    batch = pa.record_batch({"t": pa.array([-(2**32)], pa.timestamp("s", "Europe/Berlin"))})

    assert written(ExportFormat.CSV, batch.schema, [batch]) == b'"t"\n1833-11-24 17:31:44Z\n'


def test_times_beyond_microseconds_are_cut_off_in_json() -> None:
    batch = pa.record_batch({"t": pa.array([1_999, -1], pa.timestamp("ns", "Asia/Tokyo"))})

    found = [json.loads(line)["t"] for line in written(ExportFormat.JSONL, batch.schema, [batch]).splitlines()]
    assert found == ["1970-01-01T00:00:00.000001Z", "1970-01-01T00:00:00.000000Z"]


@pytest.mark.parametrize("form", ExportFormat)
def test_an_error_among_the_rows_reaches_the_caller(form: ExportFormat) -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1]})
        raise KeyError("rows are over")

    with pytest.raises(KeyError, match="rows are over"):
        written(form, SCHEMA, rows())


@pytest.mark.parametrize("form", ExportFormat)
def test_a_fault_of_the_file_reaches_the_caller_as_it_is(form: ExportFormat) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise QuotaExceededError("no room")

    with pytest.raises(QuotaExceededError, match="no room"), result_writer(form, SCHEMA, Full()) as writer:
        writer.write(pa.record_batch({"a": [1]}))


SCHEMA = pa.schema([("a", pa.int64())])


def groups(batch: pa.RecordBatch, chunk: int, **limits: int) -> list[int]:
    """How many rows the groups have when the rows come in batches of some size."""
    cut = RowGroups(batch.schema, **limits)
    found = [group for part in pa.table(batch).to_batches(max_chunksize=chunk) for group in cut.add(part)]
    found += cut.rest()
    assert pa.concat_tables(found).combine_chunks() == pa.table(batch)
    assert all(column.num_chunks == 1 for group in found for column in group.columns)
    return [group.num_rows for group in found]


NUMBERS = pa.array(range(5500), pa.int64())
LENGTHS = [0] * 2000 + [100] * 3000 + [0] * 500


@pytest.mark.parametrize("chunk", [7, 999, 1000, 5500])
@pytest.mark.parametrize(
    ("batch", "limits", "rows"),
    [
        ({"a": NUMBERS}, {"rows": 2000}, [2000, 2000, 1500]),
        ({"a": NUMBERS, "b": NUMBERS}, {"rows": 2000, "size": 16_000}, [1000] * 5 + [500]),
        ({"a": NUMBERS, "b": NUMBERS}, {"rows": 2000, "size": 1}, [1] * 5500),
        ({"a": ["x" * n for n in LENGTHS]}, {"rows": 4000, "size": 100_000}, [3000, 1000, 1000, 500]),
        ({"a": ["x" * n for n in LENGTHS]}, {"rows": 1500, "size": 10**9}, [1000] * 5 + [500]),
        ({"a": [[1] * n for n in LENGTHS]}, {"rows": 4000, "size": 800_000}, [3000, 1000, 1000, 500]),
        (
            {"a": pa.array([{str(i): 1 for i in range(n)} for n in LENGTHS], pa.map_(pa.string(), pa.int64()))},
            {"rows": 4000, "size": 800_000},
            [3000, 1000, 1000, 500],
        ),
    ],
    ids=["rows", "bytes", "at least one", "texts", "whole steps", "lists", "maps"],
)
def test_groups_end_where_the_rows_say_so(
    batch: dict[str, Any], limits: dict[str, int], rows: list[int], chunk: int
) -> None:
    assert groups(pa.record_batch(batch), chunk, **limits) == rows


@pytest.mark.parametrize("form", list(ExportFormat))
def test_a_writer_that_is_given_up_does_not_write_any_more(
    form: ExportFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: raised.append(str(fault.exc_value)))
    schema = pa.schema([("a", pa.int64())])
    place = Destination.parse(str(tmp_path)).child("result")

    def give_up() -> None:
        with place.writing("e") as file, result_writer(form, schema, file) as writer:
            raise KeyError(writer.rows)

    with contextlib.suppress(KeyError):
        give_up()
    gc.collect()
    assert raised == []
    assert list(tmp_path.iterdir()) == []
