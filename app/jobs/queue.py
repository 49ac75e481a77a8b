"""The queue that workers take jobs from: DBOS, over a SQLite file or a PostgreSQL schema of its own.

One attempt of one job is one workflow of DBOS, whose id follows from both. To enqueue it twice is to enqueue it once,
and the workflow of a dead worker is never resumed: the next attempt is another one. What DBOS remembers decides who
begins an attempt and nothing else; what became of a job is in its record (app.stores.job_claims).

What was found out about DBOS is in docs/adr/0015-durable-jobs.md.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions, WorkflowStatusString

from app.errors import ConfigurationError, StoreUnavailableError
from app.job import Job
from app.jobs.queue_logs import quieten
from app.stores.job_claims import Ticket

SCHEMA = "freshet_jobs"

_APPLICATION = "freshet"
_VERSION = "freshet-1"
"""The same for ever: DBOS gives a workflow to workers of its own version alone."""
_WORKFLOW = "run_attempt"
_POLL_SECONDS = 0.1
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)

Begin = Callable[[str, int], None]
"""Called with a job's id and the attempt to begin, in a thread of its own; returns when there is room for another."""


class JobQueue:
    """The queue of one project, as one worker sees it. There can be one in a process, as DBOS is one.

    Every method raises StoreUnavailableError where the database does not answer. For one thread.
    """

    def __init__(self, metadata_url: str, project: str, worker: str) -> None:
        """`metadata_url`: the SQLAlchemy URL of the metadata database; `worker`: a name that no other worker ever has,
        for DBOS gives what one of that name has begun to the next of that name when it starts."""
        self._queue = f"jobs-{project}"
        self._worker = worker
        self._embedded = metadata_url.startswith("sqlite")
        self._url = _embedded_url(metadata_url) if self._embedded else metadata_url
        self._engine = None if self._embedded else _engine(metadata_url)
        self._client: DBOSClient | None = None
        quieten()

    @property
    def is_open(self) -> bool:
        """Whether this worker takes attempts from the queue."""
        return self._client is not None

    def prepare(self) -> None:
        """Make the tables and the row of the queue, where they are missing: that takes a second, and a worker that
        finds the row when it opens the queue need not wait for the next look of DBOS for new ones."""
        self._launch(None)
        self.close()

    def open(self, begin: Begin) -> None:
        """Take attempts, the oldest job's first, and call `begin` with one at a time.

        Costs 0.1 s, and several percent of a core from then on, which is why an idle worker closes its queue.
        """
        self._launch(begin)

    def make_tables(self) -> None:
        """Make or migrate the tables alone."""
        self._launch(None, register=False)
        self.close()

    def _launch(self, begin: Begin | None, register: bool = True) -> None:
        with self._errors():
            if self._embedded:
                _one_sync_per_commit(self._url)
            try:
                DBOS(config=self._config())
                DBOS.listen_queues([self._queue] if begin else [])
                if begin:
                    _define_workflow(begin)
                DBOS.launch()
                if register:
                    # A limit in the row of the queue, for each of its workers: whoever comes last decides for all.
                    DBOS.register_queue(self._queue, worker_concurrency=1, polling_interval_sec=_POLL_SECONDS)
                self._client = self._make_client()
            except BaseException:
                DBOS.destroy(destroy_registry=True)
                raise

    def close(self) -> None:
        """Take no more. What has begun is not waited for."""
        if self._client is not None:
            self._client.destroy()
            self._client = None
            DBOS.destroy(destroy_registry=True)
        if self._engine is not None:
            self._engine.dispose()

    def enqueue(self, ticket: Ticket) -> None:
        """Let a worker begin this attempt, once. Only while open, as all that follow."""
        options: EnqueueOptions = {
            "queue_name": self._queue,
            "workflow_name": _WORKFLOW,
            "workflow_id": _workflow_id(ticket.job_id, ticket.attempt),
            "app_version": _VERSION,
            # Smaller is earlier: another attempt of an old job does not wait behind younger ones.
            "priority": max(1, int((ticket.created_at - _FIRST_DAY).total_seconds())),
        }
        with self._errors():
            self._opened().enqueue(options, ticket.job_id, ticket.attempt)

    def not_waiting(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Those that are not in the queue: begun by a worker, or lost with the queue."""
        ids = {_workflow_id(ticket.job_id, ticket.attempt): ticket for ticket in tickets}
        with self._errors():
            found = self._opened().list_workflows(
                workflow_ids=list(ids),
                status=[WorkflowStatusString.ENQUEUED.value],
                load_input=False,
                load_output=False,
            )
        waiting = {workflow.workflow_id for workflow in found}
        return [ticket for name, ticket in ids.items() if name not in waiting]

    def forget(self, jobs: Sequence[Job]) -> None:
        """Remove the workflows of jobs that have ended."""
        ids = [_workflow_id(job.id, attempt) for job in jobs for attempt in range(1, job.attempt + 1)]
        with self._errors():
            self._opened().delete_workflows(ids)

    def _opened(self) -> DBOSClient:
        if self._client is None:
            raise RuntimeError("the queue is not open")
        return self._client

    def _config(self) -> DBOSConfig:
        config: DBOSConfig = {
            "name": _APPLICATION,
            "system_database_url": self._url,
            "dbos_system_schema": SCHEMA,
            "application_version": _VERSION,
            "executor_id": self._worker,
            # The default one is pickle.
            "serializer": DBOSPortableJSONSerializer(),
            # Its channel would be one more connection, and wakes nobody who waits for a queue.
            "use_listen_notify": False,
            # Its pause is waited for when the queue is closed.
            "notification_listener_polling_interval_sec": 0.1,
            "log_level": "WARNING",
        }
        if self._engine is not None:
            # One of its own would first look for a database called postgres.
            config["system_database_engine"] = self._engine
        return config

    def _make_client(self) -> DBOSClient:
        # What is called through the runtime is repeated, with pauses of up to a minute, until the database is back.
        given: dict[str, Any] = {"retry_connection_errors": False, "lazy": True, "application_name": _APPLICATION}
        given |= {"dbos_system_schema": SCHEMA, "serializer": DBOSPortableJSONSerializer()}
        given |= {"system_database_url": self._url, "system_database_engine": self._engine}
        return DBOSClient(**given)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        kind = "SQLite" if self._embedded else "PostgreSQL"
        try:
            yield
        except sa.exc.ProgrammingError as error:
            raise ConfigurationError(
                f"The queue of jobs cannot be used: {_reason(error)}. Its tables are in the schema {SCHEMA}; "
                "`freshet db upgrade` makes them, as a role that may create a schema"
            ) from error
        except sa.exc.SQLAlchemyError as error:
            raise StoreUnavailableError(f"The queue of jobs ({kind}) does not answer") from error


def make_tables(metadata_url: str) -> None:
    """Make or migrate the tables of the queue. Raises ConfigurationError where the role may not, and as all here."""
    JobQueue(metadata_url, "", "migrations").make_tables()


def _define_workflow(begin: Begin) -> None:
    @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
    def run_attempt(job_id: str, attempt: int) -> None:
        begin(job_id, attempt)


def _workflow_id(job_id: str, attempt: int) -> str:
    return f"{job_id}-{attempt}"


def _embedded_url(metadata_url: str) -> str:
    """A file beside that of the metadata database: two writers that share none do not wait for each other."""
    path = Path(sa.make_url(metadata_url).database or "freshet.db")
    return f"sqlite:///{path.with_name(f'{path.stem}-jobs.db')}"


def _one_sync_per_commit(url: str) -> None:
    """Let readers and the writer of the file be at it at once; it remembers that."""
    try:
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"The queue of jobs (SQLite): {error}") from error


def _engine(url: str) -> sa.Engine:
    made = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=4,
        max_overflow=4,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "application_name": "freshet worker"},
    )

    @sa.event.listens_for(made, "connect")
    def set_timeout(connection: Any, _: object) -> None:
        # A worker that stands still within a transaction must not hold what it has locked for ever.
        connection.execute("SET idle_in_transaction_session_timeout = 60000")
        connection.commit()

    return made


def _reason(error: sa.exc.DBAPIError) -> str:
    return str(getattr(getattr(error.orig, "diag", None), "message_primary", None) or type(error.orig).__name__)
