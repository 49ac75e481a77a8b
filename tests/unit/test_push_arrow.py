"""A push as an Arrow stream: exact values of every type, and faults of whatever is none."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import to_microseconds
from app.errors import InvalidRequestError, NotArrowError
from app.pushing.schema import PushedColumns
from tests.unit.push_forms import ARROW, NOW, checked, decode, fault_of, stream


def columns(table: pa.Table, **options: Any) -> dict[str, list[Any]]:
    rows = decode(stream(table, **options), ARROW).rows
    assert isinstance(rows, PushedColumns)
    return {name: list(values) for name, values in rows.columns.items()}


MOMENT = to_microseconds(NOW)


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([2**53 + 1, None, -(2**63)]), [2**53 + 1, None, -(2**63)]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([1, 2], pa.int8()), [1, 2]),
        (pa.array([0.5, None], pa.float16()), [0.5, None]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None, "b", "a"]).dictionary_encode(), ["a", None, "b", "a"]),
        (pa.array([b"\0", None], pa.large_binary()), [b"\0", None]),
        (pa.array([["a"], None], pa.large_list(pa.string())), [["a"], None]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), [{"k": 1}, None]),
        (pa.array([MOMENT * 1000 + 999, None], pa.timestamp("ns")), [MOMENT, None]),
        (pa.array([-1], pa.timestamp("ns", "UTC")), [-1]),
        (pa.array([MOMENT], pa.timestamp("us", "Asia/Tokyo")), [MOMENT]),
        (pa.array([MOMENT // 1000], pa.timestamp("ms")), [MOMENT]),
        (pa.array([2**60], pa.timestamp("s")), [2**60 * 10**6]),
        (pa.array([None, None]), [None, None]),
        (pa.array([[], []]), [[], []]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_arrow_of_many_types_is_exact(array: pa.Array, values: list[Any]) -> None:
    assert columns(pa.table({"x": array})) == {"x": values}


def test_a_list_of_times_is_a_list_of_times() -> None:
    times = pa.array([[MOMENT * 1000 + 1]], pa.list_(pa.timestamp("ns")))
    (((found,),),) = columns(pa.table({"x": times})).values()
    assert type(found) is datetime
    assert to_microseconds(found) == MOMENT


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time64("us")),
        pa.array(["a"], pa.string_view()),
        pa.array([{"t": 1}], pa.struct([("t", pa.timestamp("s"))])),
    ],
    ids=lambda array: str(array.type),
)
def test_arrow_of_a_type_that_no_feature_has_names_the_column(array: pa.Array) -> None:
    assert fault_of(InvalidRequestError, stream(pa.table({"x": array})), ARROW) == "x"


def test_two_columns_of_one_name_are_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert fault_of(InvalidRequestError, stream(table), ARROW) == "x"


def test_more_rows_than_the_limit_are_refused_before_they_are_converted() -> None:
    assert fault_of(InvalidRequestError, stream(pa.table({"x": range(101)})), ARROW) == "rows"
    assert fault_of(InvalidRequestError, stream(pa.table({"x": []})), ARROW) == "rows"


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_little_that_stands_for_much_is_refused(codec: str) -> None:
    """A stream of a few kilobytes must not become gigabytes in memory."""
    zeros = pa.table({"x": pa.array(["\0" * 1_000_000])})
    assert len(stream(zeros, compression=codec)) < 10_000
    fault_of(NotArrowError, stream(zeros, compression=codec), ARROW)
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 50, pa.int32()), pa.array(["w" * 10_000]))
    fault_of(NotArrowError, stream(pa.table({"x": words})), ARROW)
    coded = pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["\0" * 1_000_000]))
    fault_of(NotArrowError, stream(pa.table({"x": coded}), compression=codec), ARROW)
    nulls = pa.ListArray.from_arrays(pa.array([0, 10**9], pa.int32()), pa.nulls(10**9))
    fault_of(NotArrowError, stream(pa.table({"x": nulls})), ARROW)
    for nothing in (pa.nulls(90), pa.array([True] * 90)):
        many = pa.table([nothing] * 2_000, names=[f"column {number}" for number in range(2_000)])
        fault_of(NotArrowError, stream(many), ARROW)
    wide = pa.FixedSizeListArray.from_arrays(pa.nulls(10**9), 10**9)
    fault_of(NotArrowError, stream(pa.table({"x": pa.StructArray.from_arrays([wide], ["y"])})), ARROW)


GOOD = stream(
    pa.table(
        {
            "user": pa.array(["u", "v", None, "w"]),
            "count": pa.array([1, None, 3, 4]),
            "word": pa.array(["a", "b", "a", "a"]).dictionary_encode(),
            "tags": pa.array([["a", "b"], None, [], ["c"]]),
            "seen": pa.array([1, None, 3, 4], pa.timestamp("ns", "UTC")),
        }
    )
)


@pytest.mark.parametrize("body", [b"", b"{}", b"ARROW1\0\0", GOOD[:100], GOOD[2:], GOOD[:-200], b"\xff" * 64])
def test_what_is_no_stream_is_not_arrow(body: bytes) -> None:
    assert fault_of(NotArrowError, body, ARROW) == "body"


@given(place=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.none() | st.integers(0, len(GOOD)))
def test_a_damaged_stream_is_a_fault_or_other_rows_but_never_a_crash(place: int, byte: int, cut: int | None) -> None:
    damaged = (GOOD[:place] + bytes([byte]) + GOOD[place + 1 :])[:cut]
    with contextlib.suppress(NotArrowError, InvalidRequestError):
        checked(decode(damaged, ARROW))
