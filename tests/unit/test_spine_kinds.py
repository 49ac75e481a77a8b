"""Every type that Arrow has, as every type that a feature has: read or refused, and never a fault of the server."""

from __future__ import annotations

import contextlib
import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from app.errors import InvalidRequestError
from app.exports.spine import spine_of_file
from app.exports.spine_types import declared_type
from tests.unit.spines import needs, write

NUMBERS = [0, 1, 100, None]
NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
INTEGERS = (pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64())
DECIMALS = (pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal128(38, 2), pa.decimal256(30, 2), pa.decimal256(60, 2))
TIMES = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "Asia/Tokyo")]
ARRAYS: list[pa.Array] = [
    pa.nulls(4),
    pa.array([True, False, True, None]),
    *(pa.array(NUMBERS).cast(kind) for kind in INTEGERS),
    pa.array([0, 2**64 - 1, 1, None], pa.uint64()),
    pa.array([0.5, 1, float("inf"), None], pa.float16()),
    pa.array([0.5, float("nan"), 3e38, None], pa.float32()),
    pa.array([0.5, -1e308, float("-inf"), None]),
    *(pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2"), None, decimal.Decimal(7)], kind) for kind in DECIMALS),
    *(
        pa.array(["a", "2026-01-02", None, "ü"]).cast(kind)
        for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view())
    ),
    pa.array([b"abc", b"\0\0\0", None, b"\xff\xff\xff"], pa.binary(3)),
    *(pa.array([NOON, None], kind) for kind in TIMES),
    pa.array([1, None]).cast(pa.timestamp("us", "Nowhere/Atall")),
    pa.array([NOON.date(), None], pa.date32()),
    pa.array([NOON.date(), None], pa.date64()),
    pa.array([datetime.time(1), None], pa.time32("s")),
    pa.array([datetime.time(1), None], pa.time64("ns")),
    pa.array([1, None], pa.duration("s")),
    pa.array(["a", None, "a"]).dictionary_encode(),
    pa.array([1, None, 1]).dictionary_encode(),
    pa.array([NOON, None], pa.timestamp("s")).dictionary_encode(),
    pa.array([[1, None], None, []]),
    pa.array([["a", None], None], pa.large_list(pa.string())),
    pa.array([[1.5, 2], None], pa.list_(pa.float64(), 2)),
    pa.array([[1], None], pa.list_view(pa.int64())),
    pa.array([[NOON, None], None], pa.list_(pa.timestamp("ns", "Nowhere/Atall"))),
    pa.array([["a"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    pa.array([[[1]], None]),
    pa.array([{"a": 1}, None]),
    pa.array([{}, None], pa.struct([])),
    pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    pa.array([None], pa.month_day_nano_interval()),
    pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, None], pa.binary(16))),
    pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", "[1", None])),
    pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())),
    pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]),
    pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
]
DTYPES = [
    *("INT32", "INT64", "FLOAT", "DOUBLE", "STRING", "BOOL", "BYTES", "UNIX_TIMESTAMP", "UUID", "DECIMAL", "JSON"),
    *(
        "INT32_LIST",
        "DOUBLE_SET",
        "STRING_LIST",
        "BYTES_LIST",
        "UNIX_TIMESTAMP_LIST",
        "JSON_LIST",
        "DECIMAL_LIST",
        "MAP",
    ),
    *("MAP", "further", "event_timestamp"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.type))
def test_every_type_of_arrow_as_every_type_of_a_feature(tmp_path: Path, array: pa.Array) -> None:
    results: dict[str, Any] = {}
    for dtype in DTYPES:
        columns = {"x": array, "event_timestamp": pa.array([NOON] * len(array))}
        wanted = needs(10, {}, user_id="STRING") if dtype in ("further", "event_timestamp") else needs(10, x=dtype)
        if dtype in ("further", "event_timestamp"):
            columns["user_id"] = pa.array(["u"] * len(array))
        if dtype == "event_timestamp":
            columns["event_timestamp"] = array
        with contextlib.suppress(pa.ArrowNotImplementedError):  # not a file that anybody could write
            write(pa.table(columns), tmp_path / "x.arrow", "arrow")
            with contextlib.suppress(InvalidRequestError):
                results[dtype] = spine_of_file(tmp_path / "x.arrow", wanted, tmp_path / "spine").schema.field("x").type
    for dtype, found in results.items():
        if dtype not in ("further", "event_timestamp"):
            assert found == declared_type(dtype)
