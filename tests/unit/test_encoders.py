"""Cells encoded by the column are what Feast's own message gives cell by cell."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from app.domain import FieldSpec, to_moment
from app.errors import InvalidRequestError
from app.stores import encoders
from app.stores.cell_columns import Cells, ListedCells
from app.stores.encoders import compile_encoder, encode_times
from app.stores.protos import encode

_INT64 = st.integers(-(2**63), 2**63 - 1)
_BLOBS = st.binary(max_size=300)
TYPES: dict[str, st.SearchStrategy[Any]] = {
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": _INT64 | st.integers(0, 300),
    "FLOAT": st.floats(width=32),
    "DOUBLE": st.floats(),
    "BOOL": st.booleans(),
    "STRING": st.text(max_size=200),
    "BYTES": _BLOBS,
    "PDF_BYTES": _BLOBS,
    "IMAGE_BYTES": _BLOBS,
    "UNIX_TIMESTAMP": st.datetimes(datetime(1800, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
}
FIELDS = {dtype: FieldSpec("feature", dtype) for dtype in (*TYPES, "INT64_LIST", "JSON", "MAP")}
ENCODERS = {dtype: compile_encoder(field) for dtype, field in FIELDS.items()}


def by_message(values: Sequence[Any], dtype: str) -> list[bytes]:
    return [bytes(encode(value, dtype).SerializeToString()) for value in values]


def parts(cells: Cells, rows: int, step: int) -> list[bytes]:
    """The cells of a column, taken apart as compare.lua does it."""
    found = []
    for start in range(0, rows, step):
        packed, count = cells.packed(start, start + step), min(step, rows - start)
        at = 4 * count
        for length in struct.unpack(f"<{count}I", packed[:at]):
            found.append(packed[at : at + length])
            at += length
        assert at == len(packed)
    return found


@given(data=st.data(), dtype=st.sampled_from(sorted(TYPES)), nulls=st.booleans())
def test_a_column_is_what_feast_writes_of_each_value(data: st.DataObject, dtype: str, nulls: bool) -> None:
    values = data.draw(st.lists(st.none() | TYPES[dtype] if nulls else TYPES[dtype], max_size=40))
    cells = ENCODERS[dtype](values)
    wanted = by_message(values, dtype)
    assert list(cells) == wanted
    assert parts(cells, len(values), data.draw(st.integers(1, 20))) == wanted


@pytest.mark.parametrize("dtype", sorted(TYPES))
def test_the_common_types_are_encoded_by_hand(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(encoders, "encode_column")
    assert list(ENCODERS[dtype]([None] * 20)) == [b""] * 20


def test_other_types_are_encoded_by_feast() -> None:
    for dtype, value in (("INT64_LIST", [1, 2**62]), ("JSON", {"a": [1, None]}), ("MAP", {"k": "v"})):
        assert list(ENCODERS[dtype]([value, None])) == by_message([value, None], dtype)


def test_where_feast_writes_otherwise_feast_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of Feast might keep int64 in another field."""
    monkeypatch.setattr(
        encoders,
        "encode_column",
        lambda values, field: [Value() if value is None else Value(double_val=value) for value in values],
    )
    encoder = compile_encoder(FieldSpec("feature", "INT64"))
    assert list(encoder([3])) == [Value(double_val=3).SerializeToString()]


def test_what_feast_has_no_form_for_is_the_callers_fault() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ENCODERS["INT64_LIST"]([["text"]])
    assert caught.value.errors[0].field == "feature"


def stamp(moment: int) -> bytes:
    """protobuf's bytes; those of seconds that are zero, which it leaves out, are a longer way to say the same."""
    message = Timestamp()
    message.FromDatetime(to_moment(moment))
    data = bytes(message.SerializeToString())
    if message.seconds:
        return data
    assert Timestamp.FromString(b"\x08\x00" + data) == message
    return b"\x08\x00" + data


_MOMENTS = st.integers(-5_000_000_000_000_000, 200_000_000_000_000_000) | st.integers(0, 10**6).map(lambda n: n * 10**6)


@given(times=st.lists(st.none() | _MOMENTS, max_size=40))
def test_times_are_protobufs_own(times: list[int | None]) -> None:
    wanted = [b"" if time is None else stamp(time) for time in times]
    assert list(encode_times(times)) == wanted
    assert parts(encode_times(times), len(times), 7) == wanted


def test_times_around_zero() -> None:
    times = [0, 1, -1, 10**6, -(10**6), 999_999, None]
    for repeat in (1, 5):
        assert list(encode_times(times * repeat)) == [b"" if t is None else stamp(t) for t in times] * repeat


def test_listed_cells_of_any_length() -> None:
    cells = ListedCells([b"", b"x" * 70_000, b"y"])
    assert parts(cells, 3, 2) == list(cells)
