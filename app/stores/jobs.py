"""The records of background jobs, in the metadata database. A job's state is what its record says, and nothing else.

Every change of state is one conditional UPDATE that names the attempt, so that of two workers one is right.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain import utc
from app.errors import NotFoundError
from app.job import Job, JobFault, JobState, Progress
from app.stores.job_totals import Totals, count_end, read_totals
from app.stores.metadata import Base, MetadataStore

LONGEST_PHASE = 64


class JobRow(Base):
    """One background job. Times are UTC."""

    __tablename__ = "jobs"
    __table_args__ = (
        sa.Index(None, "project", "state", "created_at"),
        sa.Index(None, "project", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    project: Mapped[str] = mapped_column(sa.String(255))
    kind: Mapped[str] = mapped_column(sa.String(32))
    request: Mapped[Any] = mapped_column(sa.JSON(none_as_null=True), nullable=False)
    state: Mapped[str] = mapped_column(sa.String(16))
    attempt: Mapped[int]
    enqueued: Mapped[bool]
    """Whether this attempt is in the queue of the workers."""
    losses: Mapped[int]
    worker: Mapped[str | None] = mapped_column(sa.String(255))
    cancel_requested: Mapped[bool]
    untidy: Mapped[bool]
    """Whether it was ended by somebody who could not remove what it has left."""
    phase: Mapped[str] = mapped_column(sa.String(LONGEST_PHASE))
    rows_done: Mapped[int] = mapped_column(sa.BigInteger)
    rows_total: Mapped[int | None] = mapped_column(sa.BigInteger)
    error: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True))
    result: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    started_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    heartbeat: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class JobRecords:
    """The jobs of one project. Every method raises StoreUnavailableError where the database does not answer."""

    def __init__(self, metadata: MetadataStore, project: str) -> None:
        self._metadata = metadata
        self._project = project

    def create(self, kind: str, request: Mapping[str, Any], now: datetime, job_id: str | None = None) -> Job:
        """Order a job: from the commit on, some worker will do it. `request` is JSON; `job_id` a UUID, made up by
        default, for who has stored something under it before."""
        values: dict[str, Any] = {}
        values |= {"id": job_id or str(uuid.uuid4()), "project": self._project, "kind": kind, "request": dict(request)}
        values |= {"state": JobState.QUEUED, "attempt": 1, "enqueued": False, "losses": 0, "cancel_requested": False}
        values |= {"untidy": False, "phase": "", "rows_done": 0, "created_at": now}
        with self._metadata.begin() as connection:
            return job_of(connection.execute(sa.insert(JobRow).values(values).returning(JobRow.__table__)).one())

    def get(self, job_id: str) -> Job | None:
        """The job, or None where the project has none of that id."""
        with self._metadata.begin() as connection:
            return self._get(connection, job_id)

    def list(
        self, kind: str | None = None, limit: int = 50, after: str | None = None, state: JobState | None = None
    ) -> Sequence[Job]:
        """Jobs, the newest first; those that follow the job with the id `after`, where that is given.

        Raises NotFoundError where there is no job `after`, or no longer.
        """
        query = sa.select(JobRow.__table__).where(JobRow.project == self._project)
        query = query if kind is None else query.where(JobRow.kind == kind)
        query = query if state is None else query.where(JobRow.state == state)
        with self._metadata.begin() as connection:
            if after is not None:
                last = self._get(connection, after)
                if last is None:
                    raise NotFoundError(f"There is no job {after} to go on after; begin with the first page again")
                query = query.where(sa.tuple_(JobRow.created_at, JobRow.id) < sa.tuple_(*_literals(last)))
            newest = query.order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(limit)
            return [job_of(row) for row in connection.execute(newest)]

    def request_cancel(self, job_id: str, now: datetime) -> Job | None:
        """Cancel it: one that waits at once, one that runs as soon as its worker hears of it, which ends it as
        cancelled whatever it has done meanwhile. One that has ended stays as it is. What it is now, None: unknown."""
        waits = JobRow.state == JobState.QUEUED
        values = {
            "cancel_requested": True,
            "state": sa.case((waits, JobState.CANCELLED), else_=JobRow.state),
            "untidy": sa.case((waits, True), else_=JobRow.untidy),
            "finished_at": sa.case((waits, now), else_=JobRow.finished_at),
        }
        lives = JobRow.state.in_([JobState.QUEUED, JobState.RUNNING])
        # In one statement: a worker that stops makes a job that runs one that waits, in any moment.
        cancelled = sa.update(JobRow).where(JobRow.project == self._project, JobRow.id == job_id, lives).values(values)
        with self._metadata.begin() as connection:
            row = connection.execute(cancelled.returning(JobRow.__table__)).one_or_none()
            if row is not None and row.state == JobState.CANCELLED:
                count_end(connection, job_of(row))
            return self._get(connection, job_id)

    def counts(self) -> Mapping[tuple[str, ...], int]:
        """How many jobs there are, by kind and state."""
        query = sa.select(JobRow.kind, JobRow.state, sa.func.count()).where(JobRow.project == self._project)
        with self._metadata.begin() as connection:
            rows = connection.execute(query.group_by(JobRow.kind, JobRow.state))
            return {(kind, state): number for kind, state, number in rows}

    def totals(self) -> Totals:
        """What has become of all jobs that there ever were."""
        return read_totals(self._metadata, self._project)

    def _get(self, connection: sa.Connection, job_id: str) -> Job | None:
        mine = sa.select(JobRow.__table__).where(JobRow.project == self._project, JobRow.id == job_id)
        row = connection.execute(mine).one_or_none()
        return None if row is None else job_of(row)


def _literals(job: Job) -> tuple[sa.ColumnElement[Any], ...]:
    return sa.literal(job.created_at, sa.DateTime(timezone=True)), sa.literal(job.id)


def job_of(row: sa.Row[Any]) -> Job:
    """The job that a row of the table says."""
    return Job(
        id=row.id,
        project=row.project,
        kind=row.kind,
        request=row.request,
        state=JobState(row.state),
        attempt=row.attempt,
        created_at=utc(row.created_at),
        progress=Progress(row.phase, row.rows_done, row.rows_total),
        result=row.result,
        fault=None if row.error is None else JobFault(**row.error),
        worker=row.worker,
        losses=row.losses,
        cancel_requested=row.cancel_requested,
        started_at=row.started_at and utc(row.started_at),
        finished_at=row.finished_at and utc(row.finished_at),
        heartbeat=row.heartbeat and utc(row.heartbeat),
    )
