"""Appends to PostgreSQL: one COPY and one commit for a whole group of rows, durable when they return."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from psycopg import sql

from app.arrow_columns import UTC_MICROS
from app.errors import (
    ConfigurationError,
    FieldError,
    FreshetError,
    InvalidRequestError,
    StoreUnavailableError,
    UnstorableRowsError,
)
from app.stores.offline_columns import Column
from app.stores.offline_connections import WriteConnections, Writer
from app.stores.offline_copy_text import copy_text
from app.stores.offline_tables import identifiers, make_table, target

_LOST = "The connection to PostgreSQL (offline store) was lost; nothing was kept"
_LATE = "PostgreSQL (offline store) did not answer in time; nothing was kept"
_LONGEST = 200


class _LostError(Exception):
    """The connection broke, and what it carried was certainly not committed."""


class _OutdatedError(Exception):
    """The table is not what it was when this process last looked."""


@dataclass(frozen=True)
class _Group:
    """Rows that are committed together: for which table, in which columns, as COPY's text."""

    table: str
    schema: pa.Schema
    shown: Mapping[str, str]
    text: bytes


class CopyAppender:
    """Appends over connections of its own, from any number of threads, each within `seconds`.

    Finding out what became of a commit whose answer was lost may take as long again.
    """

    def __init__(self, config: PostgreSQLConfig, seconds: float) -> None:
        self._seconds = seconds
        self._connections = WriteConnections(config, seconds)
        # Table -> the columns that it is known to have.
        self._known: dict[str, set[str]] = {}

    def append(self, table: str, columns: Sequence[Column], times: Mapping[str, Sequence[int]]) -> None:
        """Append rows to the table; it is made, and columns are added, where they are missing.

        `times` are microseconds since 1970 by column. Raises UnstorableRowsError (the server finds one such row at a
        time), StoreUnavailableError where certainly nothing was kept, and CommitUnknownError.
        """
        typed = [(column.name, column.arrow) for column in columns if column.arrow is not None]
        schema = pa.schema([*typed, *((name, UTC_MICROS) for name in times)])
        shown = {column.name: column.shown for column in columns}
        group = _Group(table, schema, shown, copy_text(columns, list(times.values())))
        deadline = time.monotonic() + self._seconds
        for fresh in (False, True):
            try:
                # The first connection may have been idle for hours, and dead for as long: hence another try.
                with self._connections.writer(deadline, fresh) as writer:
                    return self._append(writer, group)
            except _OutdatedError:
                self._known.pop(table, None)
            except _LostError as error:
                if time.monotonic() >= deadline:
                    raise StoreUnavailableError(_LATE) from error
            except psycopg.Error as error:
                raise _refusal(error, group) from error
        raise StoreUnavailableError(_LOST)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _append(self, writer: Writer, group: _Group) -> None:
        connection = writer.connection
        try:
            self._make_table(connection, group)
            writer.begin()
            names = identifiers(group.schema.names)
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(target(group.table), names)
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(group.text)
        except psycopg.Error as error:
            if _is_lost(connection, error):
                raise _LostError from error
            with contextlib.suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
                raise _OutdatedError from error
            raise
        self._commit(writer)

    def _commit(self, writer: Writer) -> None:
        try:
            writer.connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            if not writer.committed(self._connections.config, time.monotonic() + self._seconds):
                raise _LostError from error

    def _make_table(self, connection: psycopg.Connection[object], group: _Group) -> None:
        names = set(group.schema.names)
        if names <= self._known.get(group.table, set()):
            return
        with connection.transaction(), connection.cursor() as cursor:
            make_table(cursor, group.table, group.schema)
        self._known[group.table] = names | self._known.get(group.table, set())


def _is_lost(connection: psycopg.Connection[object], error: psycopg.Error) -> bool:
    # 57P0x: the server ends the session, which the client may not have seen yet.
    return connection.closed or error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def _refusal(error: psycopg.Error, group: _Group) -> FreshetError:
    """What the caller is told of an error that the server reported before anything was committed."""
    said = " ".join((error.diag.message_primary or type(error).__name__).split())[:_LONGEST]
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return _unstorable(error, said, group)
    if isinstance(error, psycopg.errors.DiskFull):
        return StoreUnavailableError(
            "The disk of PostgreSQL (offline store) is full; nothing was kept: free some space"
        )
    if isinstance(error, psycopg.OperationalError):
        return StoreUnavailableError(f"PostgreSQL (offline store) did not take the rows: {said}")
    return ConfigurationError(f"PostgreSQL (offline store) refuses to write table {group.table}: {said}")


def _unstorable(error: psycopg.Error, said: str, group: _Group) -> FreshetError:
    row, column = _place(error.diag.context or "", group)
    if row is None:
        return InvalidRequestError(f"PostgreSQL (offline store) refuses a row of table {group.table}: {said}")
    found = column or error.diag.column_name or ""
    fault = FieldError(group.shown.get(found, found or group.table), f"cannot be kept offline: {said}")
    return UnstorableRowsError({row: [fault]})


def _place(context: str, group: _Group) -> tuple[int | None, str | None]:
    """The row and, where it is said, the column of `COPY name, line 3, column x: "value"`, in the server's language."""
    name = re.escape(group.table.rpartition(".")[2].lower())
    found = re.search(rf"^COPY {name}\D*?(\d+)([^:\"]*)", context, re.MULTILINE)
    if found is None or not 0 < int(found[1]) <= group.text.count(b"\n"):
        return None, None
    words = found[2].split()
    return int(found[1]) - 1, next((column for column in group.schema.names if column in words), None)
