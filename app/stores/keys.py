"""Entity keys as bytes, in the form that Feast's stores keep them in.

Feast serializes a key message by message. Here the parts that are the same for all entities of a view are rendered
once, and only the values are filled in; a sample key is compared with Feast's own function, so that another version of
the format is noticed when the plan is built and Feast's function is used instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.Value_pb2 import ValueType

from app.domain import EntityKey, FieldSpec
from app.errors import NotServableError
from app.stores.protos import encode_key

_UINT32 = struct.Struct("<I").pack
_INT32 = struct.Struct("<Iii").pack
_INT64 = struct.Struct("<Iiq").pack

_MOST_LENGTHS = 1000

KeyEncoder = Callable[[Mapping[str, Sequence[Any]], int], list[bytes]]
"""From request columns of native values, and the number of rows, to one serialized key per row."""


def _string(value: str) -> bytes:
    encoded = value.encode()
    return _UINT32(ValueType.STRING) + _UINT32(len(encoded)) + encoded


def _bytes(value: bytes) -> bytes:
    return _UINT32(ValueType.BYTES) + _UINT32(len(value)) + value


def _int32(value: int) -> bytes:
    return _INT32(ValueType.INT32, 4, value)


def _int64(value: int) -> bytes:
    return _INT64(ValueType.INT64, 8, value)


def _timestamp(value: datetime) -> bytes:
    return _INT64(ValueType.UNIX_TIMESTAMP, 8, int(value.timestamp()))


_PARTS: dict[str, tuple[Callable[[Any], bytes], Any]] = {
    "STRING": (_string, "sample"),
    "BYTES": (_bytes, b"sample"),
    "PDF_BYTES": (_bytes, b"sample"),
    "IMAGE_BYTES": (_bytes, b"sample"),
    "INT32": (_int32, -7),
    "INT64": (_int64, -7),
    "UNIX_TIMESTAMP": (_timestamp, datetime.fromisoformat("2001-02-03T04:05:06+00:00")),
}
"""How Feast's format writes a value of each type, and a value to try it with."""


def compile_keys(join_keys: Sequence[FieldSpec], columns: Sequence[str], version: int) -> KeyEncoder:
    """The encoder of one view's keys; `columns` are the request columns of its join keys, `version` is the repo's
    entity_key_serialization_version. Raises NotServableError for a type that Feast cannot serialize."""
    for field in join_keys:
        if field.dtype not in _PARTS:
            raise NotServableError(f"Join key {field.name} is {field.dtype}, which Feast cannot use as a key")
    names, dtypes = tuple(field.name for field in join_keys), [field.dtype for field in join_keys]

    def stock(values: tuple[Any, ...]) -> bytes:
        proto = encode_key(EntityKey(names, values), dtypes)
        return bytes(serialize_entity_key(proto, entity_key_serialization_version=version))

    sample = tuple(_PARTS[field.dtype][1] for field in join_keys)
    if not join_keys:
        constant = stock(())
        return lambda entities, rows: [constant] * rows
    compiled = _compile(join_keys, columns)
    if compiled(dict(zip(columns, ([value] for value in sample), strict=True)), 1) == [stock(sample)]:
        return compiled
    return lambda entities, rows: [stock(values) for values in zip(*(entities[name] for name in columns), strict=True)]


def _compile(join_keys: Sequence[FieldSpec], columns: Sequence[str]) -> KeyEncoder:
    ordered = sorted(zip(join_keys, columns, strict=True), key=lambda pair: pair[0].name)
    head = _UINT32(len(ordered)) + b"".join(_string(field.name) for field, _ in ordered)
    parts = [(column, _PARTS[field.dtype][0]) for field, column in ordered]
    if len(parts) == 1:
        ((column, part),) = parts
        if part is _string:
            return _compile_string(head, column)
        return lambda entities, rows: [head + part(value) for value in entities[column]]

    def encode(entities: Mapping[str, Sequence[Any]], rows: int) -> list[bytes]:
        encoded = [map(part, entities[column]) for column, part in parts]
        return [head + b"".join(values) for values in zip(*encoded, strict=True)]

    return encode


def _compile_string(head: bytes, column: str) -> KeyEncoder:
    """The most common key, a single string: all but its characters is the same for every string of a length."""
    openings = Openings(lambda length: head + _UINT32(ValueType.STRING) + _UINT32(length))

    def encode(entities: Mapping[str, Sequence[Any]], rows: int) -> list[bytes]:
        return [openings[len(encoded)] + encoded for encoded in map(str.encode, entities[column])]

    return encode


class Openings(dict[int, bytes]):
    """Bytes that depend on a length alone, made once per length."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        self._make = make

    def __missing__(self, length: int) -> bytes:
        if len(self) > _MOST_LENGTHS:  # somebody sends keys of every length
            self.clear()
        self[length] = opening = self._make(length)
        return opening
