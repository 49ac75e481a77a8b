"""The few connections over which one process appends to PostgreSQL: kept open, and never waited for without an end.

A commit whose answer is lost may have taken place or not, and pg_xact_status cannot say which: a server that crashed
gives the same transaction ids out again. So each connection counts its appends in a row of `_freshet_writers`, in the
transaction of the append itself, and who comes back reads the count.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from psycopg import sql
from psycopg.abc import RV, PQGen

from app.errors import CommitUnknownError, StoreUnavailableError

_MOST = 4
_MAKE_WRITERS = sql.SQL(
    "SELECT pg_advisory_xact_lock(hashtext('freshet _freshet_writers'));"
    "CREATE TABLE IF NOT EXISTS _freshet_writers (writer uuid PRIMARY KEY, appends bigint NOT NULL,"
    " written timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 50)"
)
# Not those of writers that live, however long they have been idle.
_SWEEP = sql.SQL(
    "DELETE FROM _freshet_writers WHERE written < now() - interval '30 days' AND NOT EXISTS"
    " (SELECT FROM pg_stat_activity WHERE application_name = 'freshet ' || writer::text)"
)
_BEGIN = sql.SQL("BEGIN; UPDATE _freshet_writers SET appends = {appends}, written = now() WHERE writer = {writer}")
_UNAVAILABLE = "PostgreSQL (offline store) does not accept connections"
_TIMED_OUT = "PostgreSQL (offline store) did not answer in time"


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection on which every wait ends at `deadline` (time.monotonic), with an OperationalError."""

    deadline = float("inf")

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Consume psycopg's generator; once the deadline has passed the connection is closed, not asked any more."""
        left = self.deadline - time.monotonic()
        try:
            return super().wait(gen, interval, max(0.0, min(left, 3600.0)))
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(_TIMED_OUT) from None


class Writer:
    """One connection and what identifies it to the server: the row that counts its appends."""

    def __init__(self, config: PostgreSQLConfig, deadline: float, seconds: float) -> None:
        self.id = uuid.uuid4()
        self.appends = 0
        self.counted = True
        """False where the role may neither use nor make _freshet_writers: an interrupted commit stays unknown."""
        self.connection = connect(config, deadline, self._name)
        try:
            self._settle(seconds)
        except BaseException:
            self.connection.close()
            raise

    @property
    def _name(self) -> str:
        return f"freshet {self.id}"

    def _settle(self, seconds: float) -> None:
        wait = max(1, int(seconds * 1000))
        self.connection.execute(
            sql.SQL(
                "SET client_encoding = 'UTF8'; SET TIME ZONE 'UTC'; SET statement_timeout = {wait};"
                " SET lock_timeout = {wait}; SET idle_in_transaction_session_timeout = {twice};"
                # Durable before the answer, whatever the server's own choice; anything stricter stays.
                " SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            ).format(wait=wait, twice=wait * 2)
        )
        try:
            with self.connection.transaction():
                # Where it exists, making it must not be tried: that asks for the right to, all the same.
                if self.connection.execute("SELECT to_regclass('_freshet_writers')").fetchone() == (None,):
                    self.connection.execute(_MAKE_WRITERS)
                self.connection.execute(_SWEEP)
                # Committed before the first append: who asks about that one waits for the lock of this row, too.
                self.connection.execute("INSERT INTO _freshet_writers (writer, appends) VALUES (%s, 0)", [self.id])
        except psycopg.errors.InsufficientPrivilege:
            self.counted = False

    def begin(self) -> None:
        """Begin the transaction of one append, and count it."""
        self.appends += 1
        if self.counted:
            self.connection.execute(_BEGIN.format(writer=str(self.id), appends=self.appends))
        else:
            self.connection.execute("BEGIN")

    def committed(self, config: PostgreSQLConfig, deadline: float) -> bool:
        """Whether the last append was committed, asked over another connection after this one was lost.

        Raises CommitUnknownError where that cannot be found out before the deadline.
        """
        self.connection.close()
        while self.counted:
            try:
                with connect(config, deadline, "freshet") as asking:
                    return self._count(asking) >= self.appends
            except (psycopg.Error, StoreUnavailableError):
                # It may be starting again after a crash.
                if time.monotonic() > deadline - 0.1:
                    break
                time.sleep(0.1)
        raise CommitUnknownError(
            "PostgreSQL (offline store) was lost while it committed, and cannot be asked whether it did: "
            "the rows may be kept or not"
        )

    def _count(self, asking: DeadlineConnection) -> int:
        # The old session may live on, cut off from us; a commit that it has begun it ends.
        asking.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [self._name]
        )
        # The row is locked until that session's transaction has ended, one way or the other.
        query = "SELECT appends FROM _freshet_writers WHERE writer = %s FOR UPDATE"
        found = asking.execute(query, [self.id]).fetchone()
        if found is None:
            raise psycopg.OperationalError("somebody removed the row that counts")
        return int(found[0])


class WriteConnections:
    """At most four writers, opened when they are needed and used by one append at a time."""

    def __init__(self, config: PostgreSQLConfig, seconds: float) -> None:
        self.config = config
        self.seconds = seconds
        self._free: list[Writer] = []
        self._slots = threading.Semaphore(_MOST)
        self._closed = False

    @contextlib.contextmanager
    def writer(self, deadline: float, fresh: bool = False) -> Iterator[Writer]:
        """A writer; it is kept for the next append unless its connection broke or was left in a transaction.

        `fresh` opens a new connection. Raises StoreUnavailableError when there is none before the deadline.
        """
        if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise StoreUnavailableError(_TIMED_OUT)
        try:
            writer = None if fresh else self._take()
            writer = writer or Writer(self.config, deadline, self.seconds)
            writer.connection.deadline = deadline
            try:
                yield writer
            finally:
                self._give_back(writer)
        finally:
            self._slots.release()

    def _take(self) -> Writer | None:
        with contextlib.suppress(IndexError):
            return self._free.pop()
        return None

    def _give_back(self, writer: Writer) -> None:
        idle = writer.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if idle and not self._closed:
            self._free.append(writer)
        else:
            writer.connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        while (writer := self._take()) is not None:
            writer.connection.close()


def connect(config: PostgreSQLConfig, deadline: float, name: str) -> DeadlineConnection:
    """A connection in autocommit mode, by Feast's configuration. Raises StoreUnavailableError."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise StoreUnavailableError(_TIMED_OUT)
    options = {**_get_conn_kwargs(config), "keepalives_idle": config.keepalives_idle}
    try:
        connection = DeadlineConnection.connect(
            _get_conninfo(config),
            autocommit=True,
            application_name=name,
            # psycopg takes whole seconds, and at least two of them.
            connect_timeout=max(2, round(left)),
            **{option: value for option, value in options.items() if value is not None},
        )
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(_UNAVAILABLE) from error
    connection.deadline = deadline
    return connection
