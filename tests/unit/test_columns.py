"""Cells decoded by the column, or one at a time, give what Feast's own message makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import NULL, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import find, given, settings
from hypothesis import strategies as st

from app.stores.cells import _SMALL_CELLS, compile_cell, decode_moment
from app.stores.columns import compile_column, decode_moments
from app.stores.protos import decode, encode


def stamp(moment: datetime) -> bytes:
    """protobuf's Timestamp of a moment, serialized."""
    message = Timestamp()
    message.FromDatetime(moment)
    return bytes(message.SerializeToString())


# hypothesis wants bounds without a zone, and adds it itself.
_FROM, _TO = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001
_INT64 = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.floats(width=32, allow_nan=False)
_DOUBLES = st.floats(allow_nan=False)
_TIMES = st.datetimes(_FROM, _TO, timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": _INT64,
    "FLOAT": _FLOATS,
    "DOUBLE": _DOUBLES,
    "BOOL": st.booleans(),
    "STRING": st.text(),
    "BYTES": st.binary(),
    "UNIX_TIMESTAMP": _TIMES,
    "INT64_LIST": st.lists(_INT64),
    "STRING_LIST": st.lists(st.text()),
    "BOOL_LIST": st.lists(st.booleans()),
    "DOUBLE_LIST": st.lists(_DOUBLES),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[bytes | None]]:
    """A type, and cells of it: some null, some missing, some of another type."""
    dtype, other = draw(st.sampled_from(sorted(SCALARS))), draw(st.sampled_from(sorted(SCALARS)))
    kinds = {
        "value": SCALARS[dtype].map(lambda value: encode(value, dtype).SerializeToString()),
        "other": SCALARS[other].map(lambda value: encode(value, other).SerializeToString()),
        "null": st.just(b""),
        "explicit null": st.just(Value(null_val=NULL).SerializeToString()),
        "missing": st.none(),
    }
    usual = st.sampled_from(["value"] * 8 + (["null", "missing"] if draw(st.booleans()) else []))
    rare = st.sampled_from(sorted(kinds)) if draw(st.integers(0, 3)) == 0 else usual
    return dtype, [draw(kinds[draw(rare)]) for _ in range(draw(st.integers(0, 12)))]


@settings(deadline=None)
@given(column=columns())
def test_a_column_is_what_its_cells_are(column: tuple[str, list[bytes | None]]) -> None:
    dtype, cells = column
    expected = [decode(Value.FromString(cell)) if cell else None for cell in cells]
    values, gaps = compile_column(dtype)(tuple(cells))
    assert values == expected
    assert list(map(type, values)) == list(map(type, expected))
    assert gaps == [position for position, value in enumerate(expected) if value is None]


@settings(deadline=None)
@given(column=columns())
def test_a_cell_is_what_feasts_message_makes_of_it(column: tuple[str, list[bytes | None]]) -> None:
    dtype, cells = column
    decode_one = compile_cell(dtype)
    for cell in cells:
        expected = decode(Value.FromString(cell)) if cell else None
        found = decode_one(cell or b"")
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("dtype", sorted(SCALARS))
@pytest.mark.parametrize("other", sorted(SCALARS))
def test_a_cell_of_another_type_than_declared_is_not_misread(dtype: str, other: str) -> None:
    value = find(SCALARS[other], lambda value: value not in (None, [], "", b""))
    cell = encode(value, other).SerializeToString()
    assert compile_cell(dtype)(cell) == value


@settings(deadline=None)
@given(
    moments=st.lists(
        st.one_of(
            st.none(),
            st.datetimes(_FROM, _TO, timezones=st.just(UTC)),
            st.integers(0, 2**33).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
        ),
        max_size=40,
    )
)
def test_moments_are_exact(moments: list[datetime | None]) -> None:
    cells = [None if moment is None else stamp(moment) for moment in moments]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [None if moment is None else (moment - epoch) // timedelta(microseconds=1) for moment in moments]
    assert decode_moments(cells) == expected
    assert [None if cell is None else decode_moment(cell) for cell in cells] == expected


def test_nanoseconds_are_truncated() -> None:
    cell = Timestamp(seconds=-1, nanos=999_999_999).SerializeToString()
    assert decode_moment(cell) == -1
    assert decode_moments([cell]) == [-1]
    assert decode_moments([cell] * 20) == [-1] * 20


def test_a_time_that_no_calendar_holds_is_a_null() -> None:
    cells = [Value(unix_timestamp_val=seconds).SerializeToString() for seconds in (0, 10**15, -(2**63))]
    expected = [datetime(1970, 1, 1, tzinfo=UTC), None, None]
    assert compile_column("UNIX_TIMESTAMP")(cells) == (expected, [1, 2])
    assert list(map(compile_cell("UNIX_TIMESTAMP"), cells)) == expected


def test_small_cells_are_remembered_once_for_all_features_and_within_bounds() -> None:
    _SMALL_CELLS.clear()
    decoders = [compile_cell("INT64") for _ in range(3)]
    for number in range(30_000):
        cell = Value(int64_val=number).SerializeToString()
        assert [decode(cell) for decode in decoders] == [number] * 3
    assert len(_SMALL_CELLS) <= 20_000
    long = Value(string_val="x" * 100).SerializeToString()
    assert compile_cell("BOOL")(long) == "x" * 100
    assert long not in _SMALL_CELLS
