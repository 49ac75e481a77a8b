"""Columns as JSON text: written by DuckDB, which takes an eighth of the time of a loop over the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

_MOMENT = "'%Y-%m-%dT%H:%M:%S.%fZ'"


class JsonText:
    """Turns tables into text. One per thread; nothing is kept between calls."""

    def __init__(self) -> None:
        # One thread: the rows stay in order, and an export leaves the other cores to who serves.
        self._connection = duckdb.connect(config={"threads": 1, "autoload_known_extensions": False})

    def lines(self, table: pa.Table) -> Iterator[memoryview]:
        """A JSON object per row, each with a newline at its end, in pieces."""
        parts = [f"{_literal(field.name)}, {_value(f'c{n}', field.type)}" for n, field in enumerate(table.schema)]
        for chunk in self._select(table, [f"json_object({', '.join(parts)})::VARCHAR || chr(10)"]).column(0).chunks:
            yield _joined(chunk)

    def columns(self, table: pa.Table) -> list[pa.ChunkedArray]:
        """Every column as text: nested values as JSON, bytes in base64, nulls as nulls."""
        parts = []
        for number, field in enumerate(table.schema):
            value = _value(f"c{number}", field.type)
            text = f"CAST(to_json({value}) AS VARCHAR)" if pa.types.is_nested(field.type) else value
            parts.append(f"CASE WHEN c{number} IS NOT NULL THEN {text} END")
        return list(self._select(table, parts).columns)

    def _select(self, table: pa.Table, parts: Sequence[str]) -> pa.Table:
        # Names of ours: those of the columns may differ in case alone, which SQL does not tell apart.
        named = table.rename_columns([f"c{number}" for number in range(table.num_columns)])
        projection = ", ".join(f"{part} AS t{number}" for number, part in enumerate(parts))
        return self._connection.from_arrow(named).project(projection).to_arrow_table()

    def close(self) -> None:
        """Give up the connection."""
        self._connection.close()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(sql: str, dtype: pa.DataType, depth: int = 0) -> str:
    """An expression for the value of `sql` of which to_json makes what the rules of the format say."""
    if not pa.types.is_nested(dtype):
        return _scalar(sql, dtype)
    if not _differs(dtype):
        return sql
    name = f"v{depth}"
    if pa.types.is_struct(dtype):
        parts = [(_quoted(field.name), field.type) for field in dtype]
        fields = [f"{part} := {_value(f'{sql}.{part}', inner, depth)}" for part, inner in parts]
        return f"CASE WHEN {sql} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    if pa.types.is_map(dtype):
        key = _value(f"{name}.key", dtype.key_type, depth + 1)
        item = _value(f"{name}.value", dtype.item_type, depth + 1)
        entry = f"struct_pack(k := {key}, v := {item})"
        return f"map_from_entries(list_transform(map_entries({sql}), lambda {name}: {entry}))"
    return f"list_transform({sql}, lambda {name}: {_value(name, dtype.value_type, depth + 1)})"


def _scalar(sql: str, dtype: pa.DataType) -> str:
    if pa.types.is_timestamp(dtype):
        return f"strftime({sql}, {_MOMENT})"
    if pa.types.is_floating(dtype):
        return f"CASE WHEN isfinite({sql}) THEN {sql} END"
    if pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype) or pa.types.is_fixed_size_binary(dtype):
        return f"to_base64({sql})"
    return sql


def _differs(dtype: pa.DataType) -> bool:
    """Whether to_json writes values of the type, or values inside of them, in another way than the format does."""
    if pa.types.is_nested(dtype):
        return any(_differs(dtype.field(number).type) for number in range(dtype.num_fields))
    return _scalar("", dtype) != ""


def _joined(chunk: pa.Array) -> memoryview:
    """The texts of a string array, one after the other: that is how Arrow keeps them."""
    _, offsets, data = chunk.buffers()
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[chunk.offset] : ends[chunk.offset + len(chunk)]]
