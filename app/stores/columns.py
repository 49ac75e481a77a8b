"""Cells of an online store, decoded by the column.

A cell is a serialized Feast Value: one field, whose number says its type. Protobuf lets messages be concatenated, and a
parser that knows the same field numbers as *repeated* fields then finds all values of the column in one pass, in C, in
order. That costs a tenth of parsing a message per value (docs/adr/0010-hot-path.md). Whatever does not fit, such as a
value of another type than the view declares, is decoded cell by cell with Feast's own message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import numpy as np
from feast.protos.feast.types import Value_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from app.stores.cells import decode_cell, decode_moment

Cells = Sequence[bytes | None]
"""One entry per row: a serialized Value, empty where the value is null, None where the store has nothing."""

ColumnDecoder = Callable[[Cells], tuple[list[Any], list[int]]]
"""From cells to native values, None where there is none, and the positions of those Nones."""

# Below this many numpy costs more than it saves.
_FEW = 16


def _times_of(seconds: Iterable[int]) -> Iterator[datetime]:
    return map(datetime.fromtimestamp, seconds, repeat(UTC))


def _lists_of(messages: Iterable[Any]) -> Iterator[list[Any]]:
    return (message.val[:] for message in messages)


_KINDS: dict[str, tuple[str, Callable[[Iterable[Any]], Iterator[Any]] | None]] = {
    "INT32": ("int32_val", None),
    "INT64": ("int64_val", None),
    "FLOAT": ("float_val", None),
    "DOUBLE": ("double_val", None),
    "BOOL": ("bool_val", None),
    "STRING": ("string_val", None),
    "BYTES": ("bytes_val", None),
    "PDF_BYTES": ("bytes_val", None),
    "IMAGE_BYTES": ("bytes_val", None),
    "UNIX_TIMESTAMP": ("unix_timestamp_val", _times_of),
    "INT32_LIST": ("int32_list_val", _lists_of),
    "INT64_LIST": ("int64_list_val", _lists_of),
    "FLOAT_LIST": ("float_list_val", _lists_of),
    "DOUBLE_LIST": ("double_list_val", _lists_of),
    "BOOL_LIST": ("bool_list_val", _lists_of),
    "STRING_LIST": ("string_list_val", _lists_of),
    "BYTES_LIST": ("bytes_list_val", _lists_of),
}
"""Feature type -> Value's field for it, and what makes native values of its entries. Other types are rare and are
decoded cell by cell."""


def _repeated(name: str, source: Any, fields: Sequence[str]) -> type[Message]:
    """A message with the named fields of the message `source`, each of them repeated."""
    file = descriptor_pb2.FileDescriptorProto(name=f"freshet/{name}.proto", package="freshet", syntax="proto3")
    file.dependency.append(source.file.name)
    message = file.message_type.add(name=name)
    for field_name in fields:
        field = source.fields_by_name[field_name]
        copy = message.field.add(name=field_name, number=field.number, type=field.type)
        copy.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
        if field.message_type is not None:
            copy.type_name = f".{field.message_type.full_name}"
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    descriptor = descriptor_pool.Default().FindMessageTypeByName(f"freshet.{name}")
    return message_factory.GetMessageClass(descriptor)


_Column: Any = _repeated("Column", Value_pb2.Value.DESCRIPTOR, sorted({field for field, _ in _KINDS.values()}))


def compile_column(dtype: str) -> ColumnDecoder:
    """The decoder of a feature of type `dtype` (the name of Feast's ValueType)."""
    if dtype not in _KINDS:
        return _cell_by_cell
    field, convert = _KINDS[dtype]
    parse = _Column.FromString

    def decode_column(cells: Cells) -> tuple[list[Any], list[int]]:
        # A slice of a repeated field is a list, and made three times faster than by list().
        values = getattr(parse(b"".join(filter(None, cells))), field)[:]
        if convert is not None:
            try:
                values = list(convert(values))
            except (ValueError, OverflowError, OSError):
                return _cell_by_cell(cells)
        if len(values) == len(cells):
            return values, []
        gaps = _empty(cells)
        if len(values) + len(gaps) != len(cells):
            return _cell_by_cell(cells)
        for position in gaps:
            values.insert(position, None)
        return values, gaps

    return decode_column


def _empty(cells: Cells) -> list[int]:
    """The positions of cells without a value."""
    return [position for position, cell in enumerate(cells) if not cell]


def _cell_by_cell(cells: Cells) -> tuple[list[Any], list[int]]:
    values = [decode_cell(cell) if cell else None for cell in cells]
    return values, [position for position, value in enumerate(values) if value is None]


def _times() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="freshet/Times.proto", package="freshet", syntax="proto3")
    message = file.message_type.add(name="Times")
    kind = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="seconds", number=1, type=kind.TYPE_INT64, label=kind.LABEL_REPEATED)
    message.field.add(name="nanos", number=2, type=kind.TYPE_INT32, label=kind.LABEL_REPEATED)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    descriptor = descriptor_pool.Default().FindMessageTypeByName("freshet.Times")
    return message_factory.GetMessageClass(descriptor)


_Times: Any = _times()


def decode_moments(cells: Cells) -> list[int | None]:
    """Serialized protobuf Timestamps as microseconds since 1970 (UTC), truncated (rule 1); None where there is none."""
    times = _Times.FromString(b"".join(filter(None, cells)))
    seconds = times.seconds[:]
    # Whole seconds have no nanoseconds at all.
    nanos = times.nanos[:] or [0] * len(seconds)
    gaps = [] if len(seconds) == len(cells) else _empty(cells)
    if not len(seconds) == len(nanos) == len(cells) - len(gaps) or any(cells[gap] is not None for gap in gaps):
        # Some lack a part, because it is zero, so that the parts do not line up.
        return [None if cell is None else decode_moment(cell) for cell in cells]
    moments: list[int | None]
    if len(seconds) < _FEW:
        moments = [second * 1_000_000 + nano // 1000 for second, nano in zip(seconds, nanos, strict=True)]
    else:
        moments = (np.array(seconds, np.int64) * 1_000_000 + np.array(nanos, np.int64) // 1000).tolist()
    for position in gaps:
        moments.insert(position, None)
    return moments
