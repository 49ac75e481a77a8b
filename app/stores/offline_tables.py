"""Tables of the PostgreSQL offline store: their names, their types, and making what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pyarrow as pa
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.type_map import arrow_to_pg_type
from psycopg import sql

from app.errors import ConfigurationError


def table_name(source: PostgreSQLSource) -> str:
    """The table behind a source, as the source calls it. Raises ConfigurationError where it is a query."""
    name = source._postgres_options._table
    if not name:
        raise ConfigurationError(f"Source {source.name} is a query; rows can only be written to a table")
    return str(name)


def target(name: str) -> sql.Composed:
    """The table as an identifier. Feast reads the name unquoted, which PostgreSQL folds to lower case."""
    return sql.SQL(".").join(sql.Identifier(part.lower()) for part in name.split("."))


def identifiers(names: Sequence[str]) -> sql.Composed:
    """Column names, quoted, with commas between them."""
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def make_table(cursor: psycopg.Cursor[Any], name: str, schema: pa.Schema) -> None:
    """Make the table, or add the columns of features that are newer than it is."""
    table = target(name)
    quoted = table.as_string(cursor)
    if cursor.execute("SELECT to_regclass(%s)", [quoted]).fetchone() != (None,):
        cursor.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(table))
        present = {column.name for column in cursor.description or ()}
        for field in (field for field in schema if field.name not in present):
            column = sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(column_type(field.type)))
            cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {}").format(table, column))
        return
    # IF NOT EXISTS does not keep two first writers apart: one fails on the catalogue's unique index.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"freshet {name}"])
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(column_type(field.type))) for field in schema
    ]
    cursor.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(table, sql.SQL(", ").join(columns)))


def column_type(dtype: pa.DataType) -> str:
    """PostgreSQL's type for a column of this Arrow type; what has none there is kept as jsonb."""
    if pa.types.is_timestamp(dtype):
        return "timestamptz"
    if pa.types.is_binary(dtype):
        return "bytea"
    if pa.types.is_list(dtype):
        # PostgreSQL's arrays of arrays are matrices.
        return "jsonb" if pa.types.is_list(dtype.value_type) else f"{column_type(dtype.value_type)}[]"
    return str(arrow_to_pg_type(str(dtype)))
