"""Cells of an online store, decoded one at a time: for reads of one entity, where a column is one cell long.

What a parser made by app.stores.columns saves over many cells it costs over few. The usual shapes of a serialized Value
are one tag and one scalar; those are read straight from the bytes, and all else, such as a null, a list or a value of
another type than the view declares, with Feast's own message. What the tags are is taken from that message too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from struct import Struct
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from google.protobuf.timestamp_pb2 import Timestamp

from app.stores.protos import decode

CellDecoder = Callable[[bytes], Any]
"""From a serialized Value, which may be empty, to a native value; None for a null."""

# From here on a length takes more than one byte, and so does an integer.
_CONTINUED = 128
_MOST_REMEMBERED = 20_000
_SMALL = 3

_parse_value: Any = ValueProto.FromString
_parse_time = Timestamp.FromString


def decode_cell(cell: bytes) -> Any:
    """Any cell, by Feast's message."""
    return decode(_parse_value(cell)) if cell else None


def decode_moment(cell: bytes) -> int:
    """A serialized protobuf Timestamp as microseconds since 1970 (UTC), truncated (rule 1)."""
    time = _parse_time(cell)
    return int(time.seconds * 1_000_000 + time.nanos // 1000)


def compile_cell(dtype: str) -> CellDecoder:
    """The decoder of one cell of a feature of type `dtype` (the name of Feast's ValueType)."""
    if dtype in ("INT32", "INT64"):
        return _integer(f"{dtype.lower()}_val")
    if dtype in ("DOUBLE", "FLOAT"):
        return _real(f"{dtype.lower()}_val", "<xd" if dtype == "DOUBLE" else "<xf")
    if dtype == "STRING":
        return _string
    if dtype == "BOOL":
        return _bool
    if dtype == "UNIX_TIMESTAMP":
        return _time()
    return decode_cell


class _Remembered(dict[bytes, Any]):
    """Small cells that have been decoded before, of any feature: a cell says itself what type it is. Bounded, since
    what is decoded is the store's choice and not ours."""

    def __missing__(self, cell: bytes) -> Any:
        value = decode_cell(cell)
        if len(self) < _MOST_REMEMBERED:
            self[cell] = value
        return value


_SMALL_CELLS = _Remembered()


def _bool(cell: bytes) -> Any:
    return _SMALL_CELLS[cell] if len(cell) <= _SMALL else decode_cell(cell)


def _tag(field: str, value: Any) -> int:
    """The byte with which a Value of this field begins: none of the fields used here has a longer tag."""
    message: Any = ValueProto
    return int(message(**{field: value}).SerializeToString()[0])


def _integer(field: str) -> CellDecoder:
    tag = _tag(field, 1)

    def integer(cell: bytes) -> Any:
        if len(cell) <= _SMALL:
            return _SMALL_CELLS[cell]
        return getattr(_parse_value(cell), field) if cell[0] == tag else decode_cell(cell)

    return integer


def _real(field: str, form: str) -> CellDecoder:
    layout = Struct(form)
    tag, length, unpack = _tag(field, 1.0), layout.size, layout.unpack

    def real(cell: bytes) -> Any:
        if len(cell) == length and cell[0] == tag:
            return unpack(cell)[0]
        return decode_cell(cell)

    return real


_STRING_TAG = _tag("string_val", "x")


def _string(cell: bytes) -> Any:
    # Of one string and nothing else, shorter than a length of one byte can say, the second byte is the length.
    if 1 < len(cell) < _CONTINUED and cell[0] == _STRING_TAG and cell[1] == len(cell) - 2:
        return cell[2:].decode()
    return decode_cell(cell)


def _time() -> CellDecoder:
    tag = _tag("unix_timestamp_val", 1)

    def time(cell: bytes) -> Any:
        if not cell or cell[0] != tag:
            return decode_cell(cell)
        try:
            return datetime.fromtimestamp(_parse_value(cell).unix_timestamp_val, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    return time
