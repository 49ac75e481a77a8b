"""Arrow types of a spine's columns: those that features' types demand, and those that a further column may have."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

UTC_MICROS = pa.timestamp("us", tz="UTC")

_SCALARS = {
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "BOOL": pa.bool_(),
    "UNIX_TIMESTAMP": UTC_MICROS,
    "ZONED_TIMESTAMP": UTC_MICROS,
    "JSON": pa.large_string(),
    **dict.fromkeys(("STRING", "UUID", "TIME_UUID", "DECIMAL"), pa.string()),
    **dict.fromkeys(("BYTES", "PDF_BYTES", "IMAGE_BYTES"), pa.binary()),
}
_MOST_DIGITS = 38
"""DuckDB reads decimals of more as floats."""
_FEW = 16
MOST_LEVELS = 16
"""DuckDB takes twice as long for each further level of lists in a Parquet file: seconds at 22, for ever at 50."""


def declared_type(dtype: str) -> pa.DataType | None:
    """The Arrow type in which a spine carries values of a feature's type; None for one that it cannot carry."""
    base, _, collection = dtype.rpartition("_")
    if collection in ("LIST", "SET") and base in _SCALARS:
        return pa.list_(_SCALARS[base])
    return _SCALARS.get(dtype)


def fits(kind: pa.DataType, dtype: str) -> bool:
    """Whether a column of Arrow type `kind` may carry values of a feature's type, each of them still to be looked at.

    Numbers are never made of text, nor text of numbers, as in pushes: 7 is not "007".
    """
    kind = plain_type(kind)
    if kinds.is_null(kind):
        return True
    _, _, collection = dtype.rpartition("_")
    if collection in ("LIST", "SET"):
        return is_list(kind)
    if dtype in ("INT32", "INT64", "FLOAT", "DOUBLE"):
        return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))
    if dtype == "BOOL":
        return bool(kinds.is_boolean(kind))
    if dtype in ("UNIX_TIMESTAMP", "ZONED_TIMESTAMP"):
        timely = (kinds.is_timestamp, kinds.is_date, kinds.is_integer, kinds.is_floating, kinds.is_string)
        return any(is_one(kind) for is_one in timely)
    if dtype == "DECIMAL":
        return bool(kinds.is_decimal(kind) or kinds.is_integer(kind) or kinds.is_string(kind))
    if declared_type(dtype) == pa.binary():
        return bool(kinds.is_binary(kind) or kinds.is_string(kind))
    return bool(kinds.is_string(kind))


def cast_or_none(array: pa.Array, kind: pa.DataType, safe: bool = True) -> pa.Array | None:
    """The column as another type; None where a value is none of that type."""
    try:
        # A cast that fails takes thirty times as long as one that does not: most fail at the first values already.
        array.slice(0, _FEW).cast(kind, safe=safe)
        return array.cast(kind, safe=safe)
    except pa.ArrowInvalid:
        return None


def is_list(kind: pa.DataType) -> bool:
    """Whether it is one of Arrow's many forms of a list."""
    forms = (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list, kinds.is_list_view, kinds.is_large_list_view)
    return any(is_one(kind) for is_one in forms)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """What the values are, whichever of Arrow's layouts keeps them: dictionaries and wide, narrow and fixed forms of
    texts and bytes."""
    if kind == pa.uuid():
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return pa.string()
    if kinds.is_large_binary(kind) or kinds.is_binary_view(kind) or kinds.is_fixed_size_binary(kind):
        return pa.binary()
    return kind


def stored_type(kind: pa.DataType) -> pa.DataType | None:
    """The type that a further column has once it was in a Parquet file, the same but for a few, such as times in whole
    seconds; None for one that Parquet, or DuckDB behind it, would not keep."""
    if is_deep(kind) or _is_beyond(kind):
        return None
    file = io.BytesIO()
    try:
        pq.write_table(pa.schema([pa.field("x", kind)]).empty_table(), file)
        return pq.read_schema(file).field("x").type
    except (pa.ArrowException, TypeError):
        return None


def is_deep(kind: pa.DataType, most: int = MOST_LEVELS) -> bool:
    """Whether lists and objects are nested within each other in more than so many levels."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_deep(kind.storage_type, most)
    if kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        return is_deep(kind.value_type, most)
    if not kinds.is_nested(kind):
        return False
    return most == 0 or any(is_deep(kind.field(place).type, most - 1) for place in range(kind.num_fields))


def _is_beyond(kind: pa.DataType) -> bool:
    if kinds.is_decimal(kind):
        return bool(kind.precision > _MOST_DIGITS)
    if kinds.is_dictionary(kind):
        return _is_beyond(kind.value_type)
    return any(_is_beyond(kind.field(position).type) for position in range(kind.num_fields))
