"""Arrow types of columns in offline stores, and columns brought to them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from feast.types import FeastType, from_feast_to_pyarrow_type

from app.errors import ConfigurationError

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
        raise ConfigurationError(
            f"Column {name} of the batch source is {column.type}, which cannot be read as {wanted}: {error}"
        ) from error


def as_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A time column as UTC microseconds, truncated; naive times are UTC (rule 1)."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return column.cast(pa.timestamp("us"), safe=False).cast(UTC_MICROS)
    return column.cast(UTC_MICROS, safe=False)
