"""Arrow columns brought to other types without loss, and native values to what Arrow takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.errors import ConfigurationError, FieldError, InvalidRequestError

UTC_MICROS = pa.timestamp("us", tz="UTC")


def as_type(column: pa.ChunkedArray, wanted: pa.DataType, name: str) -> pa.ChunkedArray:
    """The column as `wanted`, where that loses nothing. Raises ConfigurationError that names the column."""
    if column.type == wanted:
        return column
    if len(column) == 0:
        return pa.chunked_array([], wanted)
    if pa.types.is_timestamp(wanted):
        return as_utc(column)
    if pa.types.is_nested(wanted) and _is_text(column.type, wanted):
        return _from_json(column, wanted)
    if pa.types.is_floating(column.type) and pa.types.is_integer(wanted):
        # pandas turns integers next to a missing one into floats, and the missing one into NaN.
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(wanted)
    except pa.ArrowException as error:
        if pa.types.is_nested(wanted) and pa.types.is_nested(column.type):
            # A struct where Feast would write a map, say: both are a mapping to Python.
            return column
        raise ConfigurationError(
            f"Column {name} of the batch source is {column.type}, which cannot be read as {wanted}: {error}"
        ) from error


def _is_text(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether nested values came as JSON, or as lists of JSON, which is how PostgreSQL keeps them."""
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return bool(pa.types.is_nested(wanted.value_type) and pa.types.is_string(found.value_type))
    return bool(pa.types.is_string(found))


def _from_json(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    convert = converter(wanted) or (lambda value: value)
    values = [
        [None if entry is None else json.loads(entry) for entry in value]
        if isinstance(value, list)
        else value and json.loads(value)
        for value in column.to_pylist()
    ]
    return pa.chunked_array([pa.array([None if value is None else convert(value) for value in values], wanted)])


def as_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A time column as UTC microseconds, truncated; naive times are UTC (rule 1)."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return column.cast(pa.timestamp("us"), safe=False).cast(UTC_MICROS)
    return column.cast(UTC_MICROS, safe=False)


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the types that `schema` has for its columns; columns that only one of them has are left alone."""
    for name in set(table.column_names) & set(schema.names):
        column, wanted = table[name], schema.field(name).type
        if column.type != wanted:
            position = table.column_names.index(name)
            table = table.set_column(position, pa.field(name, wanted), _converted(column, wanted, name))
    return table


def _converted(column: pa.ChunkedArray, wanted: pa.DataType, name: str) -> pa.ChunkedArray:
    try:
        if pa.types.is_timestamp(column.type) and pa.types.is_timestamp(wanted):
            # Towards nanoseconds nothing is cut off, but what lies beyond the year 2262 does not fit.
            return column.cast(wanted, safe=wanted.unit == "ns")
        if pa.types.is_map(column.type) and pa.types.is_struct(wanted):
            convert = _struct(wanted)
            rows = [None if pairs is None else convert(dict(pairs)) for pairs in column.to_pylist()]
            return pa.chunked_array([pa.array(rows, wanted)])
        return column.cast(wanted)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"cannot be written as {wanted}, which its batch source has"
        raise InvalidRequestError(f"Column {name} {message}", [FieldError(name, message)]) from error


def converter(wanted: pa.DataType) -> Callable[[Any], Any] | None:
    """What makes of a native value (never None) the object that Arrow takes for `wanted`; None where it is the same.

    JSON becomes text, maps become pairs. An object with other names than a struct has fields is refused with a
    ValueError: Arrow would drop them.
    """
    if pa.types.is_large_string(wanted):
        return json_text
    if pa.types.is_map(wanted):
        return lambda value: list(value.items())
    if pa.types.is_struct(wanted):
        return _struct(wanted)
    if pa.types.is_list(wanted):
        element = converter(wanted.value_type)
        if element is None:
            return None
        return lambda value: [None if entry is None else element(entry) for entry in value]
    return None


def _struct(wanted: pa.StructType) -> Callable[[Any], Any]:
    parts = {field.name: converter(field.type) for field in wanted}

    def convert(value: Any) -> Any:
        if not value.keys() <= parts.keys():
            raise ValueError("an object with a field that its type does not have")
        return {
            name: part(value[name]) if part is not None and value[name] is not None else value[name]
            for name, part in parts.items()
            if name in value
        }

    return convert


def json_text(value: Any) -> str:
    """A JSON value as text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
