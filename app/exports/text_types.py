"""Which Arrow types have a form in CSV and JSON, and how DuckDB is given them."""

from __future__ import annotations

import pyarrow as pa


def no_text(dtype: pa.DataType) -> bool:
    """Whether text has no form for values of the type that a reader would take for the same: spans of time."""
    if pa.types.is_nested(dtype):
        return any(no_text(dtype.field(number).type) for number in range(dtype.num_fields))
    return bool(pa.types.is_duration(dtype) or pa.types.is_interval(dtype))


def is_plain_text(dtype: pa.DataType) -> bool:
    """Whether Arrow's CSV writer has the form that we want."""
    binary = pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype) or pa.types.is_fixed_size_binary(dtype)
    return not (binary or pa.types.is_nested(dtype))


def csv_type(dtype: pa.DataType) -> pa.DataType:
    """The type that Arrow's CSV writer is given: UTC, as it cuts the seconds off the offsets of old local times."""
    if pa.types.is_timestamp(dtype) and dtype.tz is not None:
        return pa.timestamp(dtype.unit, "UTC")
    return dtype if is_plain_text(dtype) else pa.string()


def text_type(dtype: pa.DataType) -> pa.DataType:
    """A type that DuckDB reads and that JSON has a form for, for the same values. Times are UTC, in microseconds."""
    if pa.types.is_timestamp(dtype):
        return pa.timestamp("us")
    if pa.types.is_float16(dtype):
        return pa.float32()
    if pa.types.is_decimal(dtype):
        return pa.string()  # a JSON number would be read as a float
    if pa.types.is_struct(dtype):
        return pa.struct([(field.name, text_type(field.type)) for field in dtype])
    if pa.types.is_map(dtype):
        return pa.map_(text_type(dtype.key_type), text_type(dtype.item_type))
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype):
        return pa.list_(text_type(dtype.value_type))
    return dtype


def as_text_types(table: pa.Table) -> pa.Table:
    """The table with these types. What times have beyond microseconds is cut off (rule 1)."""
    wanted = pa.schema([pa.field(field.name, text_type(field.type)) for field in table.schema])
    return table if wanted == table.schema else table.cast(wanted, safe=False)
