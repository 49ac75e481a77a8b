"""Arrow types as results have them: every value written out, and the same bytes for the same values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The columns of a result: same names, types without encodings and extensions, and none of the metadata that
    says where they came from, as that would make the bytes depend on it."""
    return pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])


def plain_type(dtype: pa.DataType) -> pa.DataType:
    """The type that holds the same values without a dictionary, string views or an extension."""
    if pa.types.is_dictionary(dtype):
        return plain_type(dtype.value_type)
    if isinstance(dtype, pa.BaseExtensionType):
        return plain_type(dtype.storage_type)
    if pa.types.is_struct(dtype):
        return pa.struct([_plain_field(field) for field in dtype])
    if pa.types.is_map(dtype):
        return pa.map_(plain_type(dtype.key_type), _plain_field(dtype.item_field))
    if pa.types.is_large_list(dtype):
        return pa.large_list(_plain_field(dtype.value_field))
    if pa.types.is_fixed_size_list(dtype):
        return pa.list_(_plain_field(dtype.value_field), dtype.list_size)
    if pa.types.is_list(dtype):
        return pa.list_(_plain_field(dtype.value_field))
    if pa.types.is_string_view(dtype):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(dtype) else dtype


def _plain_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, plain_type(field.type))


def as_plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the columns and types of a plain schema. Raises ValueError where it has other columns."""
    if batch.schema.names != schema.names:
        raise ValueError(f"the batch has the columns {batch.schema.names}, the result {schema.names}")
    columns = [_as_type(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_type(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if column.type == wanted:
        return column
    return _as_type(column.storage, wanted) if isinstance(column, pa.ExtensionArray) else column.cast(wanted)


def is_varying(dtype: pa.DataType) -> bool:
    """Whether two values of the type may take different numbers of bytes."""
    if pa.types.is_struct(dtype):
        return any(is_varying(field.type) for field in dtype)
    if pa.types.is_fixed_size_list(dtype):
        return is_varying(dtype.value_type)
    return pa.types.is_nested(dtype) or any(kind(dtype) for kind in _VARYING)


_VARYING = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


def worth_a_dictionary(schema: pa.Schema) -> list[str]:
    """The columns of which Parquet should keep each value once. Those of numbers and times are written in half the time
    without, and smaller where most of their values differ: that is found out too late."""
    return [
        field.name for field in schema if pa.types.is_boolean(field.type) or any(kind(field.type) for kind in _VARYING)
    ]


def is_odd(dtype: pa.DataType) -> bool:
    """Whether the type, or one inside of it, is of a kind that pyarrow converts wrongly or not at all."""
    if pa.types.is_nested(dtype) and not (pa.types.is_run_end_encoded(dtype) or _is_list_view(dtype)):
        return pa.types.is_union(dtype) or any(is_odd(dtype.field(n).type) for n in range(dtype.num_fields))
    return bool(pa.types.is_run_end_encoded(dtype) or _is_list_view(dtype))


def _is_list_view(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(dtype) or pa.types.is_large_list_view(dtype))


def canonical(array: pa.Array) -> pa.Array:
    """The same values with nothing beside them: what lies under a null, or past the end, is zero.

    An Arrow file holds these bytes as they are, and two runs of one query need not leave the same ones behind.
    """
    array = array.take(pa.array(np.arange(len(array))))
    dtype = array.type
    if pa.types.is_struct(dtype):
        children = [canonical(child) for child in array.flatten()]  # a child is null where its parent is
        return pa.StructArray.from_arrays(children, fields=list(dtype), mask=array.is_null())
    if pa.types.is_map(dtype):
        keys, items = canonical(array.keys), canonical(array.items)
        return pa.MapArray.from_arrays(array.offsets, keys, items, type=dtype, mask=array.is_null())
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        values = canonical(array.values)
        return type(array).from_arrays(array.offsets, values, type=dtype, mask=array.is_null())
    if pa.types.is_fixed_size_list(dtype):
        return pa.FixedSizeListArray.from_arrays(canonical(array.values), type=dtype, mask=array.is_null())
    return array
