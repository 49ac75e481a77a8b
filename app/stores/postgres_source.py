"""A table or query of PostgreSQL as the source of a view: the connection to it, and its columns."""

from __future__ import annotations

from typing import Any

import psycopg
from feast import RepoConfig
from feast.data_source import DataSource
from feast.infra.utils.postgres.connection_utils import _get_conn
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import TextLoader

from app.errors import ConfigurationError, StoreUnavailableError
from app.stores.postgres_columns import PostgresColumn

JSON = ("json", "jsonb")


class _NumberLoader(Loader):
    """A numeric as the integer that a key may be, or as the float that a feature is: Feast has no decimals offline."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        whole, _, decimals = text.partition(".")
        return int(whole) if whole.lstrip("-").isdecimal() and not decimals.strip("0") else float(text)


def connect(config: RepoConfig, seconds: float | None = None) -> psycopg.Connection[Any]:
    """A connection in UTC; leaving its context commits, or rolls back on an error, and closes it."""
    try:
        connection: psycopg.Connection[Any] = _get_conn(config.offline_store)
    except psycopg.OperationalError as error:
        raise StoreUnavailableError("PostgreSQL (offline store) does not accept connections") from error
    connection.execute("SET TIME ZONE 'UTC'")
    if seconds is not None:
        connection.execute(sql.SQL("SET statement_timeout = {}").format(int(seconds * 1000)))
    connection.adapters.register_loader("numeric", _NumberLoader)
    # As text: only who knows the feature's type can tell a map from any other JSON.
    for name in JSON:
        connection.adapters.register_loader(name, TextLoader)
    return connection


def source_columns(connection: psycopg.Connection[Any], source: DataSource) -> list[PostgresColumn] | None:
    """The columns of a table or query source; None where the table was never made."""
    try:
        return columns_of(connection, sql.SQL(source.get_table_query_string()))
    except psycopg.errors.UndefinedTable as error:
        connection.rollback()
        if source._postgres_options._query:
            raise _unreadable(source.name, error) from error
        return None
    except psycopg.errors.QueryCanceled as error:
        raise StoreUnavailableError("PostgreSQL (offline store) did not answer in time") from error
    except psycopg.Error as error:
        raise _unreadable(source.name, error) from error


def _unreadable(name: str, error: psycopg.Error) -> ConfigurationError:
    """What PostgreSQL says of a table or query, which is nobody's secret."""
    said = error.diag.message_primary or type(error).__name__
    return ConfigurationError(f"Source {name} cannot be read: {said}")


def columns_of(connection: psycopg.Connection[Any], source: sql.Composable) -> list[PostgresColumn]:
    """The columns of a table or of a query in brackets."""
    # Without parameters a percent sign means nothing to psycopg.
    cursor = connection.execute(sql.SQL("SELECT * FROM {} AS _source LIMIT 0").format(source))
    return [PostgresColumn(column.name, column.type_code) for column in cursor.description or ()]
