"""Arrow IPC streams as columns of what the check of pushed rows takes. The bytes are a stranger's: nothing in them is
believed before it was validated, and nothing small in them may become large."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from app.errors import FieldError, InvalidRequestError, NotArrowError
from app.pushing.schema import PushedColumns
from app.pushing.times import Moments

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_PLAIN = (
    kinds.is_null,
    kinds.is_boolean,
    kinds.is_integer,
    kinds.is_floating,
    kinds.is_decimal,
    kinds.is_string,
    kinds.is_large_string,
    kinds.is_binary,
    kinds.is_large_binary,
    kinds.is_fixed_size_binary,
)
_BROKEN = (pa.ArrowException, struct.error, ValueError, TypeError, OverflowError, IndexError, KeyError, OSError)
"""What Arrow and the look at its bytes raise where they make no sense."""
_COMPRESSION = 3
"""The number of that field in a RecordBatch's flatbuffer."""


def decode_arrow(body: bytes, max_rows: int, max_bytes: int) -> PushedColumns:
    """The rows of a stream, in columns. Of more than `max_rows` the rest is left unread.

    Integers are exact; times of any unit and zone become Moments, truncated to microseconds. Raises NotArrowError, and
    InvalidRequestError that names a column of a type that no feature has.
    """
    try:
        _refuse_compression(body)
        with pa.ipc.open_stream(body) as reader:
            names = reader.schema.names
            _check_columns(reader.schema)
            columns: list[list[Any]] = [Moments() if kinds.is_timestamp(field.type) else [] for field in reader.schema]
            rows, room = 0, _Room(max_bytes)
            for batch in _batches(reader):
                rows += batch.num_rows
                if rows > max_rows:
                    break
                for values, array in zip(columns, batch.columns, strict=True):
                    values += _values(array, room)
    except InvalidRequestError:
        raise
    except _BROKEN as error:
        fault = FieldError("body", _first_line(error))
        raise NotArrowError("The body is not a valid Arrow IPC stream", [fault]) from None
    return PushedColumns(dict(zip(names, columns, strict=True)), rows)


class _Room:
    """How much of what takes no bytes of its own in a stream may still come out of it."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, number: int) -> None:
        """Raises ArrowInvalid where there is no more room."""
        self._left -= number
        if self._left < 0:
            raise pa.ArrowInvalid("the stream stands for more than FRESHET_MAX_BODY_BYTES")


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        # Offsets that lead out of a buffer would otherwise be followed.
        batch.validate(full=True)
        yield batch


def _check_columns(schema: pa.Schema) -> None:
    names = Counter(schema.names)
    faults = [FieldError(name, "is there twice") for name, number in sorted(names.items()) if number > 1]
    faults += [
        FieldError(field.name, f"columns of type {field.type} are not read")
        for field in schema
        if not (_is_readable(field.type) or kinds.is_timestamp(field.type) or _is_dictionary(field.type))
    ]
    if faults:
        raise InvalidRequestError("Columns of the stream cannot be read", faults)


def _is_readable(kind: pa.DataType) -> bool:
    if kinds.is_struct(kind):
        return all(_is_readable(field.type) for field in kind)
    if kinds.is_map(kind):
        return _is_readable(kind.key_type) and _is_readable(kind.item_type)
    if _is_list(kind):
        return _is_readable(kind.value_type) or kinds.is_timestamp(kind.value_type)
    return any(is_one(kind) for is_one in _PLAIN)


def _is_dictionary(kind: pa.DataType) -> bool:
    return kinds.is_dictionary(kind) and any(is_one(kind.value_type) for is_one in _PLAIN)


def _is_list(kind: pa.DataType) -> bool:
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _values(array: pa.Array, room: _Room) -> list[Any]:
    """The values as Python has them; times as microseconds since 1970."""
    kind = array.type
    if kinds.is_null(kind) or kinds.is_boolean(kind):
        room.take(len(array))  # a bit of the stream each, or none
    if kinds.is_timestamp(kind):
        return _microseconds(array, room)
    if kinds.is_dictionary(kind):
        return _from_dictionary(array, room)
    if kinds.is_nested(kind):
        _take_entries(array, room)
        if _is_list(kind) and kinds.is_timestamp(kind.value_type):
            array = array.cast(pa.list_(pa.timestamp("us", kind.value_type.tz)), safe=False)
        values: list[Any] = array.to_pylist()
        return [value if value is None else dict(value) for value in values] if kinds.is_map(kind) else values
    if kinds.is_float16(kind):
        array = array.cast(pa.float32())
    if array.null_count == 0 and (kinds.is_integer(kind) or kinds.is_floating(kind)):
        exact: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
        return exact
    plain: list[Any] = array.to_pylist()
    return plain


def _microseconds(array: pa.Array, room: _Room) -> list[int | None]:
    per_second = _PER_SECOND[array.type.unit]
    times = _values(array.cast(pa.int64()), room)
    if per_second > 10**6:
        # Towards the past, as the digits of a text are cut off.
        return [None if time is None else time // (per_second // 10**6) for time in times]
    return [None if time is None else time * (10**6 // per_second) for time in times]


def _from_dictionary(array: pa.DictionaryArray, room: _Room) -> list[Any]:
    words = _values(array.dictionary, room)
    values = [None if index is None else words[index] for index in array.indices.to_pylist()]
    # A few bytes may stand for a long text in every row.
    room.take(sum(len(value) for value in values if isinstance(value, str | bytes)))
    return values


def _take_entries(array: pa.Array, room: _Room) -> None:
    """Lists of nulls have entries, any number of them, but no bytes."""
    kind = array.type
    if kinds.is_struct(kind):
        children = [array.field(position) for position in range(kind.num_fields)]
    elif kinds.is_map(kind):
        children = [array.keys, array.items]
    elif _is_list(kind):
        children = [array.values]
    else:
        return
    for child in children:
        room.take(len(child))
        _take_entries(child, room)


def _refuse_compression(body: bytes) -> None:
    """Raises ArrowInvalid where buffers are compressed: what they hold may be a thousand times as long, and Arrow would
    make room for it before anybody can look."""
    for message in pa.ipc.MessageReader.open_stream(body):
        if message.type not in ("record batch", "dictionary"):
            continue
        data = message.metadata.to_pybytes()
        (root,) = struct.unpack_from("<I", data, 0)
        header = _table(data, root, 2)
        batch = _table(data, header, 1) if message.type == "dictionary" else header
        if _field(data, batch, _COMPRESSION):
            raise pa.ArrowInvalid("compressed buffers are not read; write the stream without compression")


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table is; 0 for one that is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    place = 4 + 2 * number
    if vtable < 0 or place >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", data, vtable + place)[0]
    return table + offset if offset else 0


def _table(data: bytes, table: int, number: int) -> int:
    """Where the table is that a field of another one refers to."""
    field = _field(data, table, number)
    if not field:
        raise pa.ArrowInvalid("a message lacks its header")
    return int(field + struct.unpack_from("<I", data, field)[0])


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
