"""The metadata database: what Freshet itself remembers, on SQLite or PostgreSQL, by SQLAlchemy and Alembic.

A `run` is one computation or materialization of one feature view over one window. Incremental materialization and the
idempotence of a start rest on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.domain import utc
from app.errors import ConfigurationError, StoreUnavailableError, one_line
from app.settings import PROJECT_ROOT, Settings
from app.stores.folders import make_writable

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Base(DeclarativeBase):
    """Every table of the metadata database."""

    metadata = sa.MetaData(naming_convention=_NAMING)


class Run(Base):
    """One computation (`compute`) or materialization (`materialize`) of one feature view. Times are UTC."""

    __tablename__ = "runs"
    __table_args__ = (sa.Index(None, "project", "kind", "feature_view", "window_end"),)

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    project: Mapped[str] = mapped_column(sa.String(255))
    kind: Mapped[str] = mapped_column(sa.String(32))
    feature_view: Mapped[str] = mapped_column(sa.String(255))
    window_start: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    """Where a materialization began, or the as_of of a computation."""
    window_end: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    """Where a materialization ended, or the known_at of a computation."""
    state: Mapped[str] = mapped_column(sa.String(16))
    """running, succeeded or failed."""
    rows: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    error: Mapped[str | None] = mapped_column(sa.Text)
    started_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class MetadataStore:
    """Reads and writes the metadata database. Raises StoreUnavailableError when it cannot be reached."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.metadata_url
        self._embedded = self._url.startswith("sqlite")
        if self._embedded:
            make_writable(Path(self._url.removeprefix("sqlite:///")).parent)
        try:
            self._engine = sa.create_engine(self._url, pool_pre_ping=True)
        except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
            raise ConfigurationError(
                "FRESHET_DATABASE_URL is not a SQLAlchemy URL such as postgresql+psycopg://user:password@host/database"
            ) from error

    @property
    def embedded(self) -> bool:
        """Whether the database is a SQLite file, which is migrated at every start."""
        return self._embedded

    def upgrade(self) -> bool:
        """Bring the schema to the newest revision; tells whether there was anything to do."""
        if self._embedded:
            # The file keeps it: one sync per commit, not several, and readers wait for no writer. With 16 threads,
            # 300 claims and answers of idempotency keys a second became 440. An open transaction prevents it.
            with contextlib.suppress(sa.exc.DatabaseError), self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        if self.is_current():
            return False
        with self._errors(), self._alone():
            command.upgrade(alembic_config(self._url), "head")
        return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other process from migrating at the same time; Alembic itself does not."""
        if self._embedded:
            with Path(f"{self._url.removeprefix('sqlite:///')}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            return
        with self._engine.connect() as connection:
            # Of the transaction: one of the session would go back to the pool with its connection, and be kept there.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('freshet migrations'))"))
            yield

    def is_current(self) -> bool:
        """Whether the schema is at the newest revision."""
        head = ScriptDirectory.from_config(alembic_config(self._url)).get_current_head()
        with self._errors(), self._engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() == head

    def begin_run(
        self, project: str, kind: str, view: str, window: tuple[datetime | None, datetime], now: datetime
    ) -> str:
        """Record that a run has begun; returns its id."""
        run = Run(
            id=str(uuid.uuid4()), project=project, kind=kind, feature_view=view, window_start=window[0],
            window_end=window[1], state="running", rows=0, started_at=now,
        )  # fmt: skip
        with self._errors(), Session(self._engine) as session, session.begin():
            session.add(run)
            return run.id

    def end_run(self, run_id: str, rows: int, now: datetime, error: str | None = None) -> None:
        """Record how a run ended; failed when there is an error."""
        values = {"state": "failed" if error else "succeeded", "rows": rows, "error": error, "finished_at": now}
        with self._errors(), self._engine.begin() as connection:
            connection.execute(sa.update(Run).where(Run.id == run_id).values(values))

    def last_success(self, project: str, kind: str, view: str) -> datetime | None:
        """The latest window end of a successful run."""
        query = sa.select(sa.func.max(Run.window_end)).where(*_succeeded(project, kind, view))
        with self._errors(), self._engine.connect() as connection:
            newest = connection.execute(query).scalar()
        return utc(newest) if newest else None

    def last_finished(self, project: str, kind: str, view: str) -> datetime | None:
        """When the latest successful run ended, by the clock of who ran it."""
        query = sa.select(sa.func.max(Run.finished_at)).where(*_succeeded(project, kind, view))
        with self._errors(), self._engine.connect() as connection:
            newest = connection.execute(query).scalar()
        return utc(newest) if newest else None

    def has_succeeded(self, project: str, kind: str, view: str, window: tuple[datetime, datetime]) -> bool:
        """Whether exactly this window has a successful run."""
        query = sa.select(Run.id).where(
            *_succeeded(project, kind, view), Run.window_start == window[0], Run.window_end == window[1]
        )
        with self._errors(), self._engine.connect() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def ended_runs(self, project: str) -> dict[tuple[str, ...], int]:
        """How many runs have ended, by kind, view and state. None of them is ever forgotten."""
        columns = (Run.kind, Run.feature_view, Run.state)
        ended = sa.select(*columns, sa.func.count()).where(Run.project == project, Run.state != "running")
        with self._errors(), self._engine.connect() as connection:
            return {tuple(place): number for *place, number in connection.execute(ended.group_by(*columns))}

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A connection in a transaction: committed at the end, rolled back on an error. For the tables of others."""
        with self._errors(), self._engine.begin() as connection:
            yield connection

    def ping(self) -> None:
        """Raise StoreUnavailableError unless the database answers."""
        with self._errors(), self._engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            kind = "SQLite" if self._embedded else "PostgreSQL"
            # SQLAlchemy's message may hold the URL's parts; only the driver's own reason for SQLite is safe to show.
            reason = f": {error.orig}" if self._embedded else " does not answer; see FRESHET_DATABASE_URL"
            raise StoreUnavailableError(f"The metadata database ({kind}){reason}") from error
        except sa.exc.DatabaseError as error:
            kind = "SQLite" if self._embedded else "PostgreSQL"
            raise ConfigurationError(
                f"The metadata database ({kind}) cannot be used: {one_line(error.orig or error)}; is it Freshet's, and "
                "migrated (`freshet db upgrade`)?"
            ) from error


def open_metadata(settings: Settings) -> MetadataStore:
    """The metadata database, migrated where it is embedded or FRESHET_AUTO_MIGRATE asks for it."""
    metadata = MetadataStore(settings)
    if metadata.embedded or settings.auto_migrate:
        metadata.upgrade()
    return metadata


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the database at `url`."""
    config = Config(str(PROJECT_ROOT / "alembic.ini"))
    # ConfigParser would take a percent sign in a password for interpolation.
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def database_time(connection: sa.Connection) -> datetime:
    """The database's time, in UTC: the same for all machines, whose clocks may differ. Of PostgreSQL the statement's,
    not that of a transaction which may have waited."""
    if connection.dialect.name == "postgresql":
        return utc(connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one())
    # Whoever shares the file shares the clock.
    return datetime.now(UTC)


def _succeeded(project: str, kind: str, view: str) -> list[sa.ColumnElement[bool]]:
    return [Run.project == project, Run.kind == kind, Run.feature_view == view, Run.state == "succeeded"]
