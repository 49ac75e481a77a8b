"""A table or query of PostgreSQL as the source of a view: the connection to it, and its columns."""

from __future__ import annotations

from typing import Any

import psycopg
from feast import RepoConfig
from feast.data_source import DataSource
from feast.infra.utils.postgres.connection_utils import _get_conn
from psycopg import sql
from psycopg.types.numeric import FloatLoader
from psycopg.types.string import TextLoader

from app.errors import StoreUnavailableError
from app.stores.postgres_columns import PostgresColumn

JSON = ("json", "jsonb")


def connect(config: RepoConfig) -> psycopg.Connection[Any]:
    """A connection in UTC; leaving its context commits, or rolls back on an error, and closes it."""
    try:
        connection: psycopg.Connection[Any] = _get_conn(config.offline_store)
    except psycopg.OperationalError as error:
        raise StoreUnavailableError("PostgreSQL (offline store) does not accept connections") from error
    connection.execute("SET TIME ZONE 'UTC'")
    # Feast has no decimal columns offline: a numeric is read as the float that its features are.
    connection.adapters.register_loader("numeric", FloatLoader)
    # As text: only who knows the feature's type can tell a map from any other JSON.
    for name in JSON:
        connection.adapters.register_loader(name, TextLoader)
    return connection


def source_columns(connection: psycopg.Connection[Any], source: DataSource) -> list[PostgresColumn] | None:
    """The columns of a table or query source; None where the table was never made."""
    try:
        return columns_of(connection, sql.SQL(source.get_table_query_string()))
    except psycopg.errors.UndefinedTable:
        connection.rollback()
        return None


def columns_of(connection: psycopg.Connection[Any], source: sql.Composable) -> list[PostgresColumn]:
    """The columns of a table or of a query in brackets."""
    # Without parameters a percent sign means nothing to psycopg.
    cursor = connection.execute(sql.SQL("SELECT * FROM {} AS _source LIMIT 0").format(source))
    return [PostgresColumn(column.name, column.type_code) for column in cursor.description or ()]
