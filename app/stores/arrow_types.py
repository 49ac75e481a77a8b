"""Arrow types of columns in offline stores, and columns brought to them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from feast.types import FeastType, from_feast_to_pyarrow_type

from app.errors import ConfigurationError, FieldError, InvalidRequestError

UTC_MICROS = pa.timestamp("us", tz="UTC")

# Feast 0.67 cannot say what Arrow type Bytes is.
_ADDED = {
    "BYTES": pa.binary(),
    "PDF_BYTES": pa.binary(),
    "IMAGE_BYTES": pa.binary(),
    "BYTES_LIST": pa.list_(pa.binary()),
}


def arrow_type(feast_type: FeastType) -> pa.DataType:
    """The Arrow type in which Feast keeps values of a type offline. Raises ConfigurationError where it has none."""
    added = _ADDED.get(feast_type.to_value_type().name)
    if added is not None:
        return added
    try:
        return from_feast_to_pyarrow_type(feast_type)
    except ValueError as error:
        raise ConfigurationError(f"Values of type {feast_type} cannot be kept offline") from error


def as_type(column: pa.ChunkedArray, wanted: pa.DataType, name: str) -> pa.ChunkedArray:
    """The column as `wanted`, where that loses nothing. Raises ConfigurationError that names the column."""
    if column.type == wanted:
        return column
    if len(column) == 0:
        return pa.chunked_array([], wanted)
    if pa.types.is_timestamp(wanted):
        return as_utc(column)
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
            return column.cast(wanted, safe=False)
        if pa.types.is_map(column.type) and pa.types.is_struct(wanted):
            rows = [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
            return pa.chunked_array([pa.array(rows, wanted)])
        return column.cast(wanted)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"cannot be written as {wanted}, which its batch source has"
        raise InvalidRequestError(f"Column {name} {message}", [FieldError(name, message)]) from error
