"""Feast's PostgreSQL offline store with what it lacks: appends, times in UTC, and the newest row by rule 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.postgres_offline_store import postgres as stock
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.utils.postgres.connection_utils import _get_conn
from feast.type_map import pg_type_code_to_arrow
from psycopg import sql
from psycopg.types.numeric import FloatLoader
from psycopg.types.string import TextLoader

from app.errors import StoreUnavailableError
from app.stores.arrow_job import ArrowJob
from app.stores.offline_tables import identifiers, make_table, table_name, target
from app.stores.postgres_columns import PostgresColumn

_JSON = ("json", "jsonb")


class PostgreSQLOfflineStoreConfig(stock.PostgreSQLOfflineStoreConfig):
    """Feast's options, under the name of our class."""

    type: Literal["app.stores.offline_postgres.PostgreSQLOfflineStore"] = (
        "app.stores.offline_postgres.PostgreSQLOfflineStore"
    )


class PostgreSQLOfflineStore(stock.PostgreSQLOfflineStore):
    """A Feast offline store that any Feast code path may use."""

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The newest row per entity with start <= event timestamp <= end; no rows where the table does not exist.

        Feast's own query sorts a null created timestamp above every other and follows the session's time zone.
        """
        times = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        columns = list(dict.fromkeys([*join_key_columns, *feature_name_columns, *times]))
        # psycopg takes a percent sign for a placeholder; a query source may well hold one.
        source = sql.SQL(data_source.get_table_query_string().replace("%", "%%"))
        bounds = (start_date.astimezone(UTC), end_date.astimezone(UTC))

        def compute() -> pa.Table:
            with connect(config) as connection:
                found = source_columns(connection, data_source)
                if found is None:
                    return pa.table({name: pa.array([], pa.null()) for name in columns})
                present = {column.name: column for column in found}
                known = [name for name in columns if name in present]
                features = [present[name] for name in feature_name_columns if name in present]
                table = _fetch(connection, _latest_query(source, known, join_key_columns, features, times), bounds)
            # A feature that was added after the last row was written is null in all of them.
            for name in set(columns) - present.keys():
                table = table.append_column(name, pa.nulls(table.num_rows))
            return table

        return ArrowJob(compute)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Feast's append, which its own PostgreSQL store does not have; see write_rows."""
        PostgreSQLOfflineStore.write_rows(config, feature_view.batch_source, table)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_rows(
        config: RepoConfig, source: PostgreSQLSource, table: pa.Table, replacing: dict[str, datetime] | None = None
    ) -> None:
        """Append rows by COPY, committed when this returns; the table is made on the first write.

        With `replacing` (column -> value), the rows that have those values are deleted in the same transaction.
        """
        name = table_name(source)
        table_id = target(name)
        with connect(config) as connection, connection.cursor() as cursor:
            make_table(cursor, name, table.schema)
            if replacing:
                conditions = [sql.SQL("{} = %s").format(sql.Identifier(column)) for column in replacing]
                where = sql.SQL(" AND ").join(conditions)
                cursor.execute(sql.SQL("DELETE FROM {} WHERE {}").format(table_id, where), list(replacing.values()))
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table_id, identifiers(table.column_names))
            with cursor.copy(statement) as copy:
                for batch in table.to_batches(max_chunksize=10_000):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)


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
    for name in _JSON:
        connection.adapters.register_loader(name, TextLoader)
    return connection


def source_columns(connection: psycopg.Connection[Any], source: DataSource) -> list[PostgresColumn] | None:
    """The columns of a table or query source; None where the table was never made."""
    query = sql.SQL("SELECT * FROM {} AS _source LIMIT 0").format(sql.SQL(source.get_table_query_string()))
    try:
        # Without parameters a percent sign means nothing to psycopg.
        cursor = connection.execute(query)
    except psycopg.errors.UndefinedTable:
        connection.rollback()
        return None
    return [PostgresColumn(column.name, column.type_code) for column in cursor.description or ()]


def _latest_query(
    source: sql.SQL,
    columns: Sequence[str],
    keys: Sequence[str],
    features: Sequence[PostgresColumn],
    times: Sequence[str],
) -> sql.Composed:
    order = [
        *(sql.SQL("{} DESC NULLS LAST").format(sql.Identifier(name)) for name in times),
        # Among equal times the greatest values win.
        *(sql.SQL("{} DESC NULLS LAST").format(column.order()) for column in features),
    ]
    return sql.SQL(
        "SELECT {columns} FROM (SELECT {columns}, row_number() OVER ({partition} ORDER BY {order}) AS _position"
        " FROM {source} AS _source WHERE {timestamp} >= %s AND {timestamp} <= %s) AS _ranked WHERE _position = 1"
    ).format(
        columns=identifiers(columns),
        partition=sql.SQL("PARTITION BY {}").format(identifiers(keys)) if keys else sql.SQL(""),
        order=sql.SQL(", ").join(order),
        source=source,
        timestamp=sql.Identifier(times[0]),
    )


def _fetch(connection: psycopg.Connection[Any], query: sql.Composed, bounds: tuple[datetime, datetime]) -> pa.Table:
    cursor = connection.execute(query, bounds)
    types = [(column.name, _arrow_type(column.type_code)) for column in cursor.description or ()]
    rows = cursor.fetchall()
    values = zip(*rows, strict=True) if rows else ([] for _ in types)
    # Feast's map calls every timestamp naive; taking the type from the values keeps the zone.
    arrays = [
        pa.array(column, None if pa.types.is_timestamp(dtype) else dtype)
        for column, (_, dtype) in zip(map(list, values), types, strict=True)
    ]
    return pa.table(arrays, names=[name for name, _ in types])


def _arrow_type(code: int) -> pa.DataType:
    for name in _JSON:
        kind = psycopg.postgres.types[name]
        if code in (kind.oid, kind.array_oid):
            return pa.string() if code == kind.oid else pa.list_(pa.string())
    return pg_type_code_to_arrow(code)
