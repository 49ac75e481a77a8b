"""Cells of an online store, encoded by the column: the other half of app.stores.columns.

A cell is a serialized Feast Value: one field. A message object per cell costs ten times its bytes, so the common types
are written by hand here. Each encoder is compared with Feast's own message when it is compiled; where they differ, as
another version of the format would, and for all other types, Feast's message is used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from app.domain import FieldSpec
from app.stores.cell_columns import Cells, ListedCells, PackedCells
from app.stores.keys import Openings
from app.stores.protos import encode_column

ColumnEncoder = Callable[[Sequence[Any]], Cells]
"""From native values to cells, empty ones for null. Raises InvalidRequestError for what Feast has no form for."""

# Below this many numpy costs more than it saves.
_FEW = 16
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Protobuf's wire types."""
_SECONDS, _NANOS = b"\x08", b"\x10"
"""The tags of a Timestamp's two fields."""


def compile_encoder(field: FieldSpec) -> ColumnEncoder:
    """The encoder of a feature."""

    def stock(values: Sequence[Any]) -> Cells:
        return ListedCells(message.SerializeToString() for message in encode_column(values, field))

    if field.dtype not in _BY_HAND:
        return stock
    name, make, samples = _BY_HAND[field.dtype]
    by_hand = make(name)
    # Few are encoded in another way than many.
    trials = (samples, samples * _FEW)
    return by_hand if all(list(by_hand(trial)) == list(stock(trial)) for trial in trials) else stock


def encode_times(times: Sequence[int | None]) -> Cells:
    """protobuf's Timestamps of moments in microseconds since 1970, serialized; empty for None.

    Seconds are written also where they are zero, which proto3 leaves out: 1970 itself is not None, and in a clock field
    the second of two times always begins with them (compare.lua).
    """
    if len(times) < _FEW:
        return ListedCells(b"" if time is None else _timestamp(*divmod(time, 1_000_000)) for time in times)
    present = [time for time in times if time is not None] if None in times else times
    seconds, micros = np.divmod(np.array(present, np.int64), 1_000_000)
    parts = [_varints(_SECONDS, seconds), _varints(_NANOS, micros * 1000)]
    parts[1][1][micros == 0] = 0
    return _joined(times, present, parts)


def _timestamp(seconds: int, micros: int) -> bytes:
    head = _SECONDS + varint(seconds)
    return head + _NANOS + varint(micros * 1000) if micros else head


def varint(value: int) -> bytes:
    """A protobuf varint; of a negative number the ten bytes of its two's complement in 64 bits."""
    rest = value & 0xFFFF_FFFF_FFFF_FFFF
    encoded = bytearray()
    while rest > 127:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


_Part = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]
"""A matrix with a row of bytes per value, and how many of them count."""


def _varints(tag: bytes, values: npt.NDArray[np.int64]) -> _Part:
    """The tag and the varint of every value."""
    rest = values.view(np.uint64)
    groups = max(1, -(-int(rest.max(initial=0)).bit_length() // 7))
    matrix = np.empty((len(rest), len(tag) + groups), np.uint8)
    matrix[:, : len(tag)] = np.frombuffer(tag, np.uint8)
    lengths = np.full(len(rest), len(tag) + 1, np.uint32)
    for group in range(groups):
        low, rest = rest & np.uint64(127), rest >> np.uint64(7)
        more = rest != 0
        matrix[:, len(tag) + group] = low + more * np.uint64(128)
        lengths += more
    return matrix, lengths


def _joined(values: Sequence[Any], present: Sequence[Any], parts: Sequence[_Part]) -> PackedCells:
    """The cells that parts beside each other make; `present` are the values that are not None."""
    kept = [np.arange(matrix.shape[1]) < lengths[:, None] for matrix, lengths in parts]
    matrix = np.concatenate([matrix for matrix, _ in parts], axis=1)
    data = matrix[np.concatenate(kept, axis=1)].tobytes()
    return _with_nulls(values, present, np.sum([lengths for _, lengths in parts], axis=0, dtype=np.uint32), data)


def _with_nulls(
    values: Sequence[Any], present: Sequence[Any], lengths: npt.NDArray[np.uint32], data: bytes
) -> PackedCells:
    if len(present) < len(values):
        every = np.zeros(len(values), np.uint32)
        every[[value is not None for value in values]] = lengths
        lengths = every
    return PackedCells(lengths, data)


def _tag(field: str, wire_type: int) -> bytes:
    return varint(ValueProto.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


def _integers(field: str) -> ColumnEncoder:
    tag = _tag(field, _VARINT)

    def encode_column(values: Sequence[Any]) -> Cells:
        if len(values) < _FEW:
            return ListedCells(b"" if value is None else tag + varint(value) for value in values)
        present = [value for value in values if value is not None] if None in values else values
        return _joined(values, present, [_varints(tag, np.array(present, np.int64))])

    return encode_column


def _moments(field: str) -> ColumnEncoder:
    integers = _integers(field)
    return lambda values: integers([None if value is None else int(value.timestamp()) for value in values])


def _fixed(wire_type: int, form: str) -> Callable[[str], ColumnEncoder]:
    def make(field: str) -> ColumnEncoder:
        tag = _tag(field, wire_type)
        pack = struct.Struct(f"<{len(tag)}s{form}").pack
        row = np.dtype([("tag", f"S{len(tag)}"), ("value", f"<{form}")])

        def encode_column(values: Sequence[Any]) -> Cells:
            if len(values) < _FEW:
                return ListedCells(b"" if value is None else pack(tag, value) for value in values)
            present = [value for value in values if value is not None] if None in values else values
            matrix = np.empty(len(present), row)
            matrix["tag"], matrix["value"] = tag, present
            return _with_nulls(values, present, np.full(len(present), row.itemsize, np.uint32), matrix.tobytes())

        return encode_column

    return make


def _booleans(field: str) -> ColumnEncoder:
    tag = _tag(field, _VARINT)
    cells = {False: tag + b"\0", True: tag + b"\1", None: b""}
    return lambda values: ListedCells(map(cells.__getitem__, values))


def _texts(field: str) -> ColumnEncoder:
    tag = _tag(field, _BYTES)
    openings = Openings(lambda length: tag + varint(length))
    return lambda values: ListedCells(
        [b"" if value is None else openings[len(encoded := value.encode())] + encoded for value in values]
    )


def _blobs(field: str) -> ColumnEncoder:
    tag = _tag(field, _BYTES)
    openings = Openings(lambda length: tag + varint(length))
    return lambda values: ListedCells(b"" if value is None else openings[len(value)] + value for value in values)


_BY_HAND: dict[str, tuple[str, Callable[[str], ColumnEncoder], list[Any]]] = {
    "INT32": ("int32_val", _integers, [0, 1, 127, 128, -1, 2**31 - 1, -(2**31), None]),
    "INT64": ("int64_val", _integers, [0, 1, 127, 128, -1, 2**63 - 1, -(2**63), None]),
    "FLOAT": ("float_val", _fixed(_FIXED32, "f"), [0.0, -0.0, 0.5, -1e30, None]),
    "DOUBLE": ("double_val", _fixed(_FIXED64, "d"), [0.0, -0.0, 0.1, -1e300, None]),
    "BOOL": ("bool_val", _booleans, [False, True, None]),
    "STRING": ("string_val", _texts, ["", "sample", "ü" * 100, "x" * 20_000, None]),
    "BYTES": ("bytes_val", _blobs, [b"", b"sample", b"\0\xff" * 100, b"x" * 20_000, None]),
    "UNIX_TIMESTAMP": (
        "unix_timestamp_val",
        _moments,
        [datetime.fromisoformat(text) for text in ("1931-05-06T07:08:09.5+00:00", "2001-02-03T04:05:06.5+00:00")],
    ),
}
"""Feature type -> Value's field for it, what makes an encoder for that field, and values to try it with."""
for _dtype in ("PDF_BYTES", "IMAGE_BYTES"):
    _BY_HAND[_dtype] = _BY_HAND["BYTES"]
