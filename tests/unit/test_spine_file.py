"""Spines from files: the same rows in the same order, whichever format they came in, and one checksum for them."""

from __future__ import annotations

import contextlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import to_microseconds
from app.errors import InvalidRequestError
from app.exports import spine_file, spine_formats
from app.exports.spine import spine_of_file, spine_of_rows
from app.exports.spine_file import SpineFile
from app.values import EARLIEST, LATEST, to_json
from tests.unit.spines import FORMATS, SUFFIXES, contents, errors, needs, write

NEEDS = needs(user_id="STRING", shop="INT64")
MICROS = st.integers(to_microseconds(EARLIEST), to_microseconds(LATEST) - 1)
# CSV ends lines where they end, and PostgreSQL has no NUL: pushes refuse it as well.
TEXT = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["007", "NA", "null", "ü,", '"', "a\nb", "", "true"]
)
INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1])
ROWS = st.lists(
    st.tuples(TEXT | st.none(), INT64 | st.none(), MICROS, st.integers(-9, 9) | st.none(), TEXT), min_size=1, max_size=8
)
SCHEMA = pa.schema(
    [
        ("note", pa.string()),
        ("shop", pa.int64()),
        ("event_timestamp", pa.timestamp("us", "UTC")),
        ("user_id", pa.string()),
        ("label", pa.int64()),
    ]
)


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    users, shops, times, labels, notes = zip(*rows, strict=True)
    # A column without a word of text would be none in CSV.
    columns = [["x", *notes[1:]], shops, times, users, [1, *labels[1:]]]
    return pa.table(
        [pa.array(values).cast(field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


@settings(max_examples=40)
@given(rows=ROWS, batch_rows=st.integers(1, 4), at_once=st.integers(1, 4), zone=st.sampled_from(["UTC", "Asia/Tokyo"]))
def test_every_format_gives_the_same_rows_and_checksum(
    rows: list[tuple[Any, ...]], batch_rows: int, at_once: int, zone: str
) -> None:
    wanted = table_of(rows)
    given_ = wanted.set_column(2, "event_timestamp", wanted["event_timestamp"].cast(pa.timestamp("us", zone)))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr(spine_file, "ROWS_AT_ONCE", at_once)
        patch.setattr(spine_file, "_GROUP_ROWS", at_once + 1)
        patch.setattr(spine_formats, "_BATCH", at_once)
        found = []
        for form in FORMATS:
            source = write(
                wanted if form == "csv" else given_, folder / f"{form}.{SUFFIXES.get(form, form)}", form, batch_rows
            )
            found.append(spine_of_file(source, NEEDS, folder / f"out-{form}.parquet"))
        inline = [{name: to_json(value) for name, value in row.items()} for row in wanted.to_pylist()]
        found.append(spine_of_rows(json.loads(json.dumps(inline)), NEEDS, folder / "out-inline.parquet"))
        for spine in found:
            assert pq.read_table(spine.path).equals(wanted), spine.path
            assert spine.schema.equals(SCHEMA)
            assert spine.rows == len(rows)
            times = wanted["event_timestamp"].to_pylist()
            assert (spine.earliest, spine.latest) == (min(times), max(times))
            assert SpineFile.read(spine.path) == spine
        assert len({spine.sha256 for spine in found}) == 1


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOON = moment("2026-01-02T12:00:00")


def spine(folder: Path, table: pa.Table, form: str = "parquet", **keys: str) -> SpineFile:
    source = write(table, folder / f"in.{SUFFIXES.get(form, form)}", form)
    return spine_of_file(source, needs(**keys), folder / "spine.parquet")


def timed(**columns: Any) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table({**columns, "event_timestamp": pa.array([NOON] * rows, pa.timestamp("us", "UTC"))})


def test_duckdb_reads_a_spine_as_it_is(tmp_path: Path) -> None:
    found = spine(tmp_path, timed(user_id=["ü", None, "ü"], x=[1, None, 2**63 - 1]))
    rows = duckdb.execute(
        "SELECT user_id, x, epoch_us(event_timestamp) FROM read_parquet(?)", [str(found.path)]
    ).fetchall()
    assert rows == [
        ("ü", 1, to_microseconds(NOON)),
        (None, None, to_microseconds(NOON)),
        ("ü", 2**63 - 1, to_microseconds(NOON)),
    ]


@pytest.mark.parametrize(
    ("keys", "dtype", "wanted"),
    [
        (pa.array([1.0, float("nan"), None, -3.0]), "INT64", [1, None, None, -3]),
        (pa.array([1, -3], pa.int8()), "INT64", [1, -3]),
        (pa.array([2**63 - 1], pa.uint64()), "INT64", [2**63 - 1]),
        (pa.array([7, 2**31 - 1], pa.int64()), "INT32", [7, 2**31 - 1]),
        (pa.array(["5.00", None]).cast(pa.decimal128(10, 2)), "INT64", [5, None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), "STRING", ["a", None, "a"]),
        (pa.array(["a", "ü"], pa.large_string()), "STRING", ["a", "ü"]),
        (pa.array(["a", "ü"], pa.string_view()), "STRING", ["a", "ü"]),
        (pa.array([b"\0", None], pa.large_binary()), "BYTES", [b"\0", None]),
        (pa.array([True, None]), "BOOL", [True, None]),
        (pa.array([1, 2**53 + 1]), "DOUBLE", [1.0, float(2**53 + 1)]),
        (pa.array([0.1, float("nan")]), "DOUBLE", [0.1, None]),
        (pa.array([0.5, None], pa.float16()), "FLOAT", [0.5, None]),
        (pa.array([NOON], pa.timestamp("ns")), "UNIX_TIMESTAMP", [NOON]),
        (pa.array(["A987FBC9-4BED-3078-CF07-9141BA07C9F3"]), "UUID", ["a987fbc9-4bed-3078-cf07-9141ba07c9f3"]),
        (pa.array(["1.50", None]).cast(pa.decimal128(5, 2)), "DECIMAL", ["1.50", None]),
        (pa.array([None, None]), "INT64", [None, None]),
    ],
    ids=str,
)
def test_keys_of_any_layout_become_what_the_registry_declares(
    tmp_path: Path, keys: pa.Array, dtype: str, wanted: list[Any]
) -> None:
    for form in ("parquet", "arrow"):
        found = spine(tmp_path, timed(key=keys), form, key=dtype)
        assert [row["key"] for row in contents(found.path)] == wanted


@pytest.mark.parametrize(
    ("keys", "dtype", "message"),
    [
        (pa.array([1.0, 1.5]), "INT64", "fraction"),
        (pa.array([1.0, float("inf")]), "INT64", "out of range"),
        (pa.array([1.0, 1e30]), "INT64", "out of range"),
        (pa.array([1, 2**31]), "INT32", "out of range"),
        (pa.array([1, 2**64 - 1], pa.uint64()), "INT64", "out of range"),
        (pa.array([0.1, float("-inf")]), "DOUBLE", "finite"),
        (pa.array([0.1, 1e300]), "FLOAT", "out of range"),
        (pa.array(["a", "a\0b"]), "STRING", "NUL"),
        (pa.array(["a987fbc9-4bed-3078-cf07-9141ba07c9f3", "a"]), "UUID", "UUID"),
        (pa.array([b"AAAA", b"\xff"]).cast(pa.string(), safe=False), "BYTES", "UTF8|utf-8|UTF-8"),
    ],
    ids=str,
)
def test_a_faulty_key_names_row_and_column(tmp_path: Path, keys: pa.Array, dtype: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, timed(key=keys), key=dtype)
    ((field, said),) = errors(caught).items()
    assert field == ("spine" if "UTF" in message else "rows[1].key")
    assert any(part in said for part in message.split("|"))
    assert not (tmp_path / "spine.parquet").exists()


@pytest.mark.parametrize(
    ("keys", "dtype"),
    [
        (pa.array(["7"]), "INT64"),
        (pa.array([7]), "STRING"),
        (pa.array([1]), "BOOL"),
        (pa.array([True]), "INT64"),
        (pa.array([[1]]), "INT64"),
        (pa.array([{"a": 1}]), "STRING"),
    ],
)
def test_a_key_of_another_kind_is_refused_before_any_row(tmp_path: Path, keys: pa.Array, dtype: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, timed(key=keys), key=dtype)
    assert f"registry has it as {dtype}" in errors(caught)["key"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, "a"]).dictionary_encode(),
        pa.array(["a", None, "b"], pa.large_string()),
        pa.array([1, None, 3], pa.duration("us")),
        pa.array([1, None, 3], pa.timestamp("ns", "Asia/Tokyo")),
        pa.array([1, None, 3], pa.timestamp("ms")),
        pa.array([[1, None], None, []], pa.list_(pa.int32())),
        pa.array([{"a": 1}, None, {"a": None}]),
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        pa.array(["1.5", None, "-2.5"]).cast(pa.decimal128(38, 2)),
        pa.array([None, None, None]),
        pa.array([float("nan"), -0.0, float("inf")]),
        pa.array([b"abc", None, b"\0\0\0"], pa.binary(3)),
    ],
    ids=lambda column: str(column.type),
)
def test_further_columns_are_passed_through_as_they_are(tmp_path: Path, column: pa.Array) -> None:
    table = timed(user_id=["u"] * 3, extra=column)
    for form in ("parquet", "stream"):
        found = spine(tmp_path, table, form)
        assert found.schema.equals(table.schema)
        assert repr(pq.read_table(found.path)["extra"].to_pylist()) == repr(table["extra"].to_pylist())


@pytest.mark.parametrize(
    ("extra", "where"),
    [
        (pa.array([{}]), "extra"),
        (pa.array([None], pa.month_day_nano_interval()), "extra"),
        (pa.array([1]).cast(pa.decimal256(60)), "extra"),
        (pa.array([[None]], pa.list_(pa.decimal256(60))), "extra"),
        (pa.array([2**61], pa.timestamp("s")), "rows[0].extra"),
        (pa.array([2**63 - 1], pa.timestamp("us")), "rows[0].extra"),
    ],
    ids=lambda extra: str(extra.type) if isinstance(extra, pa.Array) else "",
)
def test_a_further_column_that_would_be_damaged_is_refused(tmp_path: Path, extra: pa.Array, where: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, timed(user_id=["u"], extra=extra), "arrow")
    assert list(errors(caught)) == [where]


def test_order_duplicates_and_nulls_are_kept(tmp_path: Path) -> None:
    table = timed(z=[3, 3, 1], user_id=["b", "b", None], a=["x", "x", None])
    found = spine(tmp_path, table)
    assert found.schema.names == ["z", "user_id", "a", "event_timestamp"]
    assert contents(found.path) == table.to_pylist()


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_without_rows_is_a_spine_without_rows(tmp_path: Path, form: str) -> None:
    found = spine(tmp_path, timed(user_id=pa.array([], pa.string())), form)
    assert (found.rows, found.earliest, found.latest) == (0, None, None)
    assert found.schema.names == ["user_id", "event_timestamp"]
    assert contents(found.path) == []


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    table = pa.table(
        [pa.array([1]), pa.array([2]), pa.array([3]), pa.array([True])], names=["x", "x", "X", "event_timestamp"]
    )
    source = write(table, tmp_path / "in.parquet", "parquet")
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_file(source, needs(1_000, {"amount": "DOUBLE"}), tmp_path / "spine.parquet")
    found = errors(caught)
    assert (
        found["user_id"]
        == "missing; needed are user_id, amount, event_timestamp, and there are x, x, X, event_timestamp"
    )
    assert "missing" in found["amount"]
    assert "twice" in found["x"]
    assert "case only" in found["X"]
    assert "bool" in found["event_timestamp"]


def test_faults_of_rows_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    rows = 200
    table = pa.table(
        {
            "user_id": pa.array([i + (0.5 if i >= 100 else 0) for i in range(rows)]),
            "event_timestamp": pa.array([None if i % 50 == 0 else NOON for i in range(rows)], pa.timestamp("us")),
        }
    )
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, table, user_id="INT64")
    found = errors(caught)
    assert [name for name in found if name.endswith(".event_timestamp")] == [
        f"rows[{i}].event_timestamp" for i in (0, 50, 100, 150)
    ]
    assert "null" in found["rows[0].event_timestamp"]
    assert "rows[100].user_id" in found
    assert "rows[105].user_id" not in found
    assert found["user_id"] == "95 more values are faulty"


def test_a_column_of_faults_is_not_looked_through(tmp_path: Path) -> None:
    table = timed(user_id=[0.5] * 5_000)
    source = write(table, tmp_path / "in.parquet", "parquet")
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_file(source, needs(5_000, user_id="INT64"), tmp_path / "spine.parquet")
    assert errors(caught)["user_id"] == "at least 995 more values are faulty"


def test_request_fields_are_needed_but_for_the_request_timestamp(tmp_path: Path) -> None:
    source = write(timed(user_id=["a"], amount=[1]), tmp_path / "in.parquet", "parquet")
    wanted = needs(1_000, {"amount": "DOUBLE", "request_timestamp": "UNIX_TIMESTAMP"})
    found = spine_of_file(source, wanted, tmp_path / "spine.parquet")
    assert found.schema.field("amount").type == pa.float64()
    given_ = timed(user_id=["a"], amount=[1]).append_column("request_timestamp", pa.array(["2026-01-02"]))
    write(given_, source, "parquet")
    found = spine_of_file(source, wanted, tmp_path / "spine.parquet")
    assert contents(found.path)[0]["request_timestamp"] == moment("2026-01-02")


@pytest.mark.parametrize(
    ("dtype", "values", "wanted"),
    [
        ("INT64_LIST", pa.array([[2**53 + 1], None]), [[2**53 + 1], None]),
        ("UNIX_TIMESTAMP_LIST", pa.array([[NOON]], pa.list_(pa.timestamp("ns"))), [[NOON]]),
        ("JSON", pa.array(['{"a": [1]}', None]), ['{"a":[1]}', None]),
    ],
)
def test_request_fields_that_are_no_scalars(tmp_path: Path, dtype: str, values: pa.Array, wanted: list[Any]) -> None:
    source = write(timed(user_id=["a"] * len(values), x=values), tmp_path / "in.parquet", "parquet")
    found = spine_of_file(source, needs(1_000, {"x": dtype}), tmp_path / "spine.parquet")
    assert [row["x"] for row in contents(found.path)] == wanted


def test_a_request_field_that_no_spine_can_carry_is_refused(tmp_path: Path) -> None:
    source = write(timed(user_id=["a"], x=["{}"]), tmp_path / "in.parquet", "parquet")
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_file(source, needs(1_000, {"x": "STRUCT"}), tmp_path / "spine.parquet")
    assert "STRUCT" in errors(caught)["x"]


@pytest.mark.parametrize("form", FORMATS)
def test_too_many_rows_are_refused(tmp_path: Path, form: str) -> None:
    source = write(timed(user_id=["a"] * 11), tmp_path / f"in.{SUFFIXES.get(form, form)}", form, 4)
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_file(source, needs(10), tmp_path / "spine.parquet")
    # A Parquet file says how many it has before any is read.
    got = "got 11;" if form == "parquet" else "got at least 11;"
    assert f"at most 10 rows (FRESHET_MAX_SPINE_ROWS), {got}" in errors(caught)["spine"]
    assert [file.name for file in tmp_path.iterdir()] == [source.name]
    assert spine_of_file(source, needs(11), tmp_path / "spine.parquet").rows == 11


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.parquet", b""),
        ("x.parquet", b"a,b\n1,2\n"),
        ("x.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1"),
        ("x.arrow", b""),
        ("x.arrow", b"ARROW1\0\0" + b"\xff" * 100),
        ("x.arrow", b"\xff\xff\xff\xff\x10\0\0\0" + b"\xff" * 100),
        ("x.csv", b""),
        ("x.csv", b"\n\n"),
        ("x.csv", b"user_id,event_timestamp\n1\n"),
        ("x.csv", b"user_id,event_timestamp\n\xff,2026-01-01\n"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_file(tmp_path / name, needs(), tmp_path / "spine.parquet")
    assert "cannot be read as" in errors(caught)["spine"]
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
def test_a_truncated_file_is_refused(tmp_path: Path, form: str) -> None:
    source = write(timed(user_id=["a" * 100] * 500), tmp_path / f"x.{SUFFIXES.get(form, form)}", form, 100)
    whole = source.read_bytes()
    for end in (len(whole) // 2, len(whole) - 12):
        source.write_bytes(whole[:end])
        if form == "stream" and end == len(whole) - 12:
            continue  # only the mark of its end is lost
        with pytest.raises(InvalidRequestError):
            spine_of_file(source, needs(), tmp_path / "spine.parquet")


@pytest.mark.parametrize("form", ["arrow", "stream"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, form: str) -> None:
    source = write(timed(user_id=["a"], extra=[{"inside": 1}]), tmp_path / "x.arrow", form)
    whole = source.read_bytes()
    for name in (b"extra", b"inside"):
        source.write_bytes(whole.replace(name, b"\x80" * len(name)))
        with pytest.raises(InvalidRequestError) as caught:
            spine_of_file(source, needs(), tmp_path / "spine.parquet")
        assert "cannot be read as arrow" in errors(caught)["spine"]


@given(data=st.data())
def test_damaged_files_are_never_more_than_a_fault_of_the_request(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMATS))
    table = timed(user_id=["a", None, "b"], extra=pa.array(["x", "y", None]).dictionary_encode(), n=[[1], None, []])
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / f"x.{SUFFIXES.get(form, form)}"
        write(table.drop_columns(["n"]) if form == "csv" else table, source, form)
        damaged = bytearray(source.read_bytes())
        for place, byte in data.draw(
            st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=5)
        ):
            damaged[place] = byte
        source.write_bytes(damaged)
        with contextlib.suppress(InvalidRequestError):
            spine_of_file(source, needs(), Path(name) / "spine.parquet")


@pytest.mark.parametrize(
    ("name", "form"), [("x", "parquet"), ("x.dat", "arrow"), ("x", "stream"), ("x.CSV", "csv"), ("x.pq", "parquet")]
)
def test_the_format_is_told_by_name_or_by_first_bytes(tmp_path: Path, name: str, form: str) -> None:
    source = write(timed(user_id=["a"]), tmp_path / "upload", form)
    assert spine_of_file(source, needs(), tmp_path / "s", name=name).rows == 1


def test_a_format_that_is_given_counts(tmp_path: Path) -> None:
    source = write(timed(user_id=["a"]), tmp_path / "x.parquet", "csv")
    assert spine_of_file(source, needs(), tmp_path / "s", format_name="csv").rows == 1
    for arguments in ({"format_name": "xlsx"}, {"name": "x.txt"}):
        with pytest.raises(InvalidRequestError) as caught:
            spine_of_file(source, needs(), tmp_path / "s", **arguments)
        assert "parquet, csv, arrow" in errors(caught)["spine"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("x", "x.csv", "x.parquet", "x.arrow"):
        with pytest.raises(InvalidRequestError) as caught:
            spine_of_file(tmp_path / name, needs(), tmp_path / "s")
        assert errors(caught)["spine"] == "there is no such file"


def test_metadata_of_a_file_does_not_count(tmp_path: Path) -> None:
    frame = timed(user_id=["a"]).to_pandas()
    frame.to_parquet(tmp_path / "pandas.parquet")
    one = spine_of_file(tmp_path / "pandas.parquet", needs(), tmp_path / "s")
    two = spine(tmp_path, timed(user_id=["a"]))
    assert one.sha256 == two.sha256
    assert one.schema.metadata is None


def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    rows = 2_000_000
    source = tmp_path / "big.parquet"
    names = pa.array([f"user-{number:040d}" for number in range(1_000)])
    with pq.ParquetWriter(source, schema := timed(user_id=names, n=range(1_000)).schema) as writer:
        for start in range(0, rows, 500_000):
            place = np.arange(start, start + 500_000)
            columns = [
                names.take(pa.array(place % 1_000)),
                pa.array(place),
                pa.array(place * 10**6).cast(schema.field(2).type),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    pool = pa.system_memory_pool()
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        found = spine_of_file(source, needs(rows), tmp_path / "spine.parquet")
        peak = pool.max_memory()
    finally:
        pa.set_memory_pool(before)
    assert found.rows == rows
    whole = sum(batch.nbytes for batch in pq.ParquetFile(source).iter_batches())
    assert peak < whole / 3
    assert pq.ParquetFile(found.path).metadata.num_row_groups > 10
