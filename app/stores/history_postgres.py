"""The rows of a PostgreSQL source as a relation of DuckDB, for point-in-time joins: streamed over ADBC."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import adbc_driver_manager
import duckdb
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi
from feast import RepoConfig
from feast.data_source import DataSource
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app.domain import FieldSpec, ViewSpec
from app.errors import ConfigurationError, InvalidRequestError, StoreUnavailableError
from app.exports.ports import Scope
from app.stores.history_relation import make_no_rows, make_rows
from app.stores.offline_columns import SourceNames
from app.stores.postgres_columns import PostgresColumn
from app.stores.postgres_source import columns_of, connect, source_columns


@contextmanager
def attach_table(
    engine: duckdb.DuckDBPyConnection,
    name: str,
    view: ViewSpec,
    config: RepoConfig,
    source: DataSource,
    scope: Scope,
    seconds: float | None,
) -> Iterator[None]:
    """See app.exports.ports.OfflineHistory.attach. The rows are copied: everything later sees the same of them.
    `seconds`: how long a statement may take, however long unless given."""
    with connect(config, seconds) as connection:
        columns = source_columns(connection, source)
        query = None if columns is None else _query(connection, view, source, columns, scope)
    if query is None:
        make_no_rows(engine, name, view)
    else:
        _copy(engine, f"stored_{name}", config, query, seconds)
        # The older rows have been picked already.
        rest = dataclasses.replace(scope, earliest=None)
        make_rows(engine, name, view, f"stored_{name}", rest, [column.name for column in columns or ()])
    yield


def _query(
    connection: psycopg.Connection[Any],
    view: ViewSpec,
    source: DataSource,
    columns: Sequence[PostgresColumn],
    scope: Scope,
) -> str:
    """The rows in scope, with the view's columns under the names of the source."""
    if view.source is None:
        raise ConfigurationError(f"Feature view {view.name} has no batch source")
    names, known = SourceNames(view), {column.name: column for column in columns}
    event, created = names.event, names.created
    wanted = [
        *(names.stored(field.name) for field in (*view.join_keys, *view.features)),
        event,
        *([created] if created else []),
    ]
    if event not in known or (created and created not in known):
        raise ConfigurationError(f"Source {source.name} has no column {event if event not in known else created}")
    return (
        _Reading(
            source=sql.SQL(source.get_table_query_string()),
            dtypes={names.stored(field.name): field.dtype for field in (*view.features, *view.join_keys)},
            keys=[known[name] for name in wanted[: len(view.join_keys)] if name in known],
            columns=[known[name] for name in dict.fromkeys(wanted) if name in known],
            event=known[event],
            created=known[created] if created else None,
            conditions=_keys(view.join_keys, [known.get(name) for name in wanted[: len(view.join_keys)]], scope.keys),
        )
        .query(scope)
        .as_string(connection)
    )


@dataclass(frozen=True)
class _Reading:
    """What is read of a source, and which of its rows, but for their times."""

    source: sql.Composable
    dtypes: Mapping[str, str]
    keys: Sequence[PostgresColumn]
    columns: Sequence[PostgresColumn]
    event: PostgresColumn
    created: PostgresColumn | None
    conditions: Sequence[sql.Composable]

    def query(self, scope: Scope) -> sql.Composed:
        """The rows in scope, and of older ones what Scope says."""
        event = self.event.identifier
        recent = [sql.SQL("{} <= {}").format(event, sql.Literal(scope.latest))]
        rows = [self._value(column) for column in self.columns]
        if scope.earliest is None:
            return self._select(rows, recent, scope)
        recent.append(sql.SQL("{} >= {}").format(event, sql.Literal(scope.earliest)))
        older = self._select(
            [self._earliest(column) for column in self.columns],
            [sql.SQL("{} < {}").format(event, sql.Literal(scope.earliest))],
            scope,
        )
        groups = sql.SQL(" GROUP BY {}").format(_listed([self._value(key) for key in self.keys]))
        return sql.SQL("{} UNION ALL {}{}").format(
            self._select(rows, recent, scope), older, groups if self.keys else sql.SQL("")
        )

    def _value(self, column: PostgresColumn) -> sql.Composable:
        return column.value(self.dtypes.get(column.name, "UNIX_TIMESTAMP"))

    def _earliest(self, column: PostgresColumn) -> sql.Composable:
        if column in self.keys:
            return self._value(column)
        if column == self.event:
            return sql.SQL("min({})").format(column.value())
        if column == self.created:
            return sql.SQL("min(greatest({}, {}))").format(self.event.value(), column.value())
        return sql.SQL("NULL")

    def _select(self, shown: Sequence[sql.Composable], times: Sequence[sql.Composable], scope: Scope) -> sql.Composed:
        conditions = [sql.SQL("isfinite({})").format(self.event.identifier), *times, *self.conditions]
        if self.created is not None and scope.created_until is not None:
            known = sql.SQL("({0} IS NULL OR {0} <= {1})")
            conditions.append(known.format(self.created.identifier, sql.Literal(scope.created_until)))
        named = [
            sql.SQL("{} AS {}").format(value, column.identifier)
            for value, column in zip(shown, self.columns, strict=True)
        ]
        return sql.SQL("SELECT {} FROM {} AS _source WHERE {}").format(
            _listed(named), self.source, sql.SQL(" AND ").join(conditions)
        )


def _listed(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def _keys(
    fields: Sequence[FieldSpec], columns: Sequence[PostgresColumn | None], wanted: pa.Table | None
) -> list[sql.Composable]:
    """The condition that a row has one of the keys, where their types leave no doubt what equal means; else none."""
    if wanted is None or not fields:
        return []
    arrays = []
    for place, (field, column) in enumerate(zip(fields, columns, strict=True)):
        integers = field.dtype in ("INT32", "INT64") and column is not None and column.is_integer
        texts = field.dtype == "STRING" and column is not None and column.is_text
        if not integers and not texts:
            return []
        wanted = wanted.filter(pc.is_valid(wanted[f"k{place}"]))
        arrays.append("bigint[]" if integers else "text[]")
    values = [wanted[f"k{place}"].to_pylist() for place in range(len(fields))]
    if any(isinstance(value, str) and "\0" in value for column in values for value in column):
        return []  # which PostgreSQL has in no text
    lists = [
        sql.SQL("{}::{}").format(sql.Literal(column), sql.SQL(kind))
        for column, kind in zip(values, arrays, strict=True)
    ]
    names = [column.identifier for column in columns if column is not None]
    return [sql.SQL("({}) IN (SELECT * FROM unnest({}))").format(_listed(names), _listed(lists))]


def read_query(config: RepoConfig, query: str) -> pa.Table:
    """What a query of the user's gives, in types that Arrow has as well. Raises InvalidRequestError for one that
    PostgreSQL does not take, and StoreUnavailableError."""
    source = sql.SQL("({})").format(sql.SQL(query.strip().rstrip(";")))
    with connect(config) as connection:
        try:
            columns = columns_of(connection, source)
        except psycopg.Error as error:
            said = error.diag.message_primary or type(error).__name__
            raise InvalidRequestError(f"The query for the entities cannot be run: {said}") from error
        shown = [sql.SQL("{} AS {}").format(column.value(), column.identifier) for column in columns]
        statement = sql.SQL("SELECT {} FROM {} AS _query").format(_listed(shown), source).as_string(connection)
    with _cursor(config, None) as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()


def _copy(
    engine: duckdb.DuckDBPyConnection, relation: str, config: RepoConfig, query: str, seconds: float | None
) -> None:
    """Make `relation` of what the query gives, batch by batch."""
    with _cursor(config, seconds) as cursor:
        cursor.execute(query)
        engine.register(f"{relation}_stream", cursor.fetch_record_batch())
        engine.execute(f"CREATE TEMP TABLE {relation} AS SELECT * FROM {relation}_stream")  # noqa: S608
        engine.unregister(f"{relation}_stream")


@contextmanager
def _cursor(config: RepoConfig, seconds: float | None) -> Iterator[Any]:
    """An ADBC cursor in UTC, each of whose statements may take so long. Raises StoreUnavailableError."""
    options = {key: value for key, value in _get_conn_kwargs(config.offline_store).items() if value is not None}
    options["options"] += f" -c timezone=UTC -c statement_timeout={int((seconds or 0) * 1000)}"
    conninfo = make_conninfo(_get_conninfo(config.offline_store), application_name="freshet", **options)
    try:
        with dbapi.connect(conninfo) as connection, connection.cursor() as cursor:
            yield cursor
    except duckdb.InterruptException:
        raise
    except (adbc_driver_manager.Error, duckdb.InvalidInputException) as error:
        # Its text may name the server, or hold the query; DuckDB passes on what comes while it reads the stream.
        state = getattr(error, "sqlstate", None)
        raise StoreUnavailableError(
            f"PostgreSQL (offline store) could not be read{f' ({state})' if state else ''}; its log says why"
        ) from error
