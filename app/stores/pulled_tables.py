"""Rows pulled out of PostgreSQL by psycopg."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
import pyarrow as pa
from feast.type_map import pg_type_code_to_arrow
from psycopg import sql

from app.stores.offline_tables import identifiers
from app.stores.postgres_columns import PostgresColumn
from app.stores.postgres_source import JSON, connect, source_columns
from app.stores.pulled import Pull


def pull_from_table(pull: Pull) -> pa.Table:
    """The rows; none where the table was never made."""
    with connect(pull.config) as connection:
        found = source_columns(connection, pull.source)
        if found is None:
            return pa.table({name: pa.array([], pa.null()) for name in pull.columns([])})
        present = {column.name: column for column in found}
        columns = pull.columns([*present])
        query = _query(pull, [name for name in columns if name in present], present)
        table = _fetch(connection, query, [moment for _, moment in pull.bounds])
    # A feature that was added after the last row was written is null in all of them.
    for name in columns:
        if name not in present:
            table = table.append_column(name, pa.nulls(table.num_rows))
    return table


def _query(pull: Pull, columns: Sequence[str], present: dict[str, PostgresColumn]) -> sql.Composed:
    timestamp = sql.Identifier(pull.timestamp)
    bounds = [sql.SQL("{} {} %s").format(timestamp, sql.SQL(sign)) for sign, _ in pull.bounds]
    # psycopg takes a percent sign for a placeholder; a query source may well hold one.
    source = sql.SQL(pull.source.get_table_query_string().replace("%", "%%"))
    where = sql.SQL(" AND ").join(bounds) if bounds else sql.SQL("TRUE")
    if not pull.newest:
        return sql.SQL("SELECT {} FROM {} AS _source WHERE {}").format(identifiers(columns), source, where)
    order = [
        *(sql.SQL("{} DESC NULLS LAST").format(sql.Identifier(name)) for name in pull.times),
        # Among equal times the greatest values win.
        *(sql.SQL("{} DESC NULLS LAST").format(present[name].order()) for name in pull.features if name in present),
    ]
    return sql.SQL(
        "SELECT {columns} FROM (SELECT {columns}, row_number() OVER ({partition} ORDER BY {order}) AS _position"
        " FROM {source} AS _source WHERE {where}) AS _ranked WHERE _position = 1"
    ).format(
        columns=identifiers(columns),
        partition=sql.SQL("PARTITION BY {}").format(identifiers(pull.keys)) if pull.keys else sql.SQL(""),
        order=sql.SQL(", ").join(order),
        source=source,
        where=where,
    )


def _fetch(connection: psycopg.Connection[Any], query: sql.Composed, bounds: Sequence[datetime]) -> pa.Table:
    cursor = connection.execute(query, bounds)
    columns = [(column.name, column.type_code) for column in cursor.description or ()]
    rows = cursor.fetchall()
    values = zip(*rows, strict=True) if rows else ([] for _ in columns)
    arrays = [_array(column, code) for column, (_, code) in zip(map(list, values), columns, strict=True)]
    return pa.table(arrays, names=[name for name, _ in columns])


def _array(values: list[Any], code: int) -> pa.Array:
    numeric = psycopg.postgres.types["numeric"]
    if code == numeric.oid:
        whole = all(value is None or (isinstance(value, int) and abs(value) < 2**63) for value in values)
        return pa.array(values, pa.int64()) if whole and values else pa.array(map(_real, values), pa.float64())
    if code == numeric.array_oid:
        return pa.array([value and list(map(_real, value)) for value in values], pa.list_(pa.float64()))
    dtype = _arrow_type(code)
    # Feast's map calls every timestamp naive; taking the type from the values keeps the zone.
    return pa.array(values, None if pa.types.is_timestamp(dtype) else dtype)


def _real(value: float | None) -> float | None:
    return None if value is None else float(value)


def _arrow_type(code: int) -> pa.DataType:
    for name in JSON:
        kind = psycopg.postgres.types[name]
        if code in (kind.oid, kind.array_oid):
            return pa.string() if code == kind.oid else pa.list_(pa.string())
    return pg_type_code_to_arrow(code)
