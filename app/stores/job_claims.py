"""What workers do to the records of jobs: take an attempt, show that they are at it, end it, or leave it to another."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.domain import utc
from app.job import Job, JobFault, JobState, Progress
from app.stores.job_totals import count_end
from app.stores.jobs import LONGEST_PHASE, JobRow, job_of
from app.stores.metadata import MetadataStore

_ENDS = [state for state in JobState if state.finished]


class Ticket(NamedTuple):
    """One attempt of one job that waits for a worker."""

    job_id: str
    attempt: int
    created_at: datetime
    enqueued: bool


class Beat(enum.Enum):
    """What a heartbeat found."""

    GO_ON = enum.auto()
    CANCEL = enum.auto()
    GONE = enum.auto()
    """The job is no longer this attempt's."""


class JobClaims:
    """The jobs of one project, for its workers. Every method raises StoreUnavailableError where the database does not
    answer."""

    def __init__(self, metadata: MetadataStore, project: str) -> None:
        self._metadata = metadata
        self._project = project
        # What an idle worker asks all the time is put together once.
        mine = JobRow.project == project
        columns = (JobRow.id, JobRow.attempt, JobRow.created_at, JobRow.enqueued)
        waiting = sa.select(*columns).where(mine, JobRow.state == JobState.QUEUED)
        self._waiting = waiting.order_by(JobRow.created_at, JobRow.id).limit(sa.bindparam("most"))
        self._running = sa.select(JobRow.__table__).where(mine, JobRow.state == JobState.RUNNING)

    def waiting(self, limit: int) -> Sequence[Ticket]:
        """The oldest attempts that wait for a worker, in order."""
        with self._metadata.begin() as connection:
            rows = connection.execute(self._waiting, {"most": limit})
            return [Ticket(row.id, row.attempt, utc(row.created_at), row.enqueued) for row in rows]

    def enqueued(self, ticket: Ticket) -> None:
        """Remember that this attempt is in the queue."""
        self._update(ticket.job_id, ticket.attempt, JobState.QUEUED, {"enqueued": True})

    def claim(self, job_id: str, attempt: int, worker: str, now: datetime) -> Job | None:
        """Begin this attempt; None where it is not to be had (any longer). May be repeated by the same worker, which
        cannot know whether the database has heard it."""
        started = sa.func.coalesce(JobRow.started_at, sa.literal(now, sa.DateTime(timezone=True)))
        values = {"state": JobState.RUNNING, "worker": worker, "heartbeat": now, "started_at": started}
        values |= {"phase": "", "rows_done": 0, "rows_total": None}
        begun = self._update(job_id, attempt, JobState.QUEUED, values)
        return begun or self._one(self._where(job_id, attempt, JobState.RUNNING), JobRow.worker == worker)

    def beat(self, job: Job, now: datetime, progress: Progress) -> Beat:
        """Show that the attempt is being worked at, and how far it is."""
        values = {"heartbeat": now, **_columns(progress)}
        running = self._where(job.id, job.attempt, JobState.RUNNING)
        with self._metadata.begin() as connection:
            beaten = sa.update(JobRow).where(running).values(values).returning(JobRow.cancel_requested)
            found = connection.execute(beaten).first()
        if found is None:
            return Beat.GONE
        return Beat.CANCEL if found.cancel_requested else Beat.GO_ON

    def finish(
        self,
        job: Job,
        state: JobState,
        now: datetime,
        *,
        result: Mapping[str, Any] | None = None,
        fault: JobFault | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """End the job; False where this attempt no longer counts. One that somebody has asked to cancel can end as
        cancelled alone: to any other end the answer is False, too. May be repeated, as `claim`."""
        values: dict[str, Any] = {"state": state, "finished_at": now, "result": result}
        values |= {"error": asdict(fault) if fault else None, **(_columns(progress) if progress else {})}
        asked = [] if state is JobState.CANCELLED else [JobRow.cancel_requested.is_(False)]
        ended = self._update(job.id, job.attempt, JobState.RUNNING, values, *asked, then=count_end)
        return (ended or self._one(self._where(job.id, job.attempt, state))) is not None

    def give_back(self, job_id: str, attempt: int, state: JobState) -> bool:
        """Leave a job to another attempt that nobody is at (any longer): one that runs, or that waits in the queue for
        somebody who will not come. False where the attempt no longer counts."""
        return self._update(job_id, attempt, state, _NEXT_ATTEMPT) is not None

    def running(self) -> list[Job]:
        """Every job that a worker has begun."""
        with self._metadata.begin() as connection:
            return [job_of(row) for row in connection.execute(self._running)]

    def lose(self, job: Job) -> bool:
        """Leave a job whose worker has died to another attempt; False where it lives, or somebody else was quicker."""
        values = {**_NEXT_ATTEMPT, "losses": JobRow.losses + 1}
        still = JobRow.heartbeat == job.heartbeat
        return self._update(job.id, job.attempt, JobState.RUNNING, values, still) is not None

    def untidy(self, limit: int) -> list[Job]:
        """Jobs that have ended without anybody removing what they have left."""
        ended = sa.and_(JobRow.state == JobState.CANCELLED, JobRow.untidy.is_(True))
        return self._some(ended, limit)

    def tidied(self, job: Job) -> None:
        """Remember that it is removed."""
        self._update(job.id, job.attempt, job.state, {"untidy": False})

    def expired(self, before: datetime, limit: int) -> list[Job]:
        """Jobs that ended before this moment."""
        return self._some(sa.and_(JobRow.state.in_(_ENDS), JobRow.finished_at < before), limit)

    def delete(self, job_ids: Collection[str]) -> None:
        """Forget the records of jobs that have ended."""
        gone = sa.delete(JobRow).where(JobRow.project == self._project, JobRow.id.in_(job_ids), JobRow.state.in_(_ENDS))
        with self._metadata.begin() as connection:
            connection.execute(gone)

    def _some(self, condition: sa.ColumnElement[bool], limit: int) -> list[Job]:
        query = sa.select(JobRow.__table__).where(JobRow.project == self._project, condition)
        with self._metadata.begin() as connection:
            return [job_of(row) for row in connection.execute(query.order_by(JobRow.created_at).limit(limit))]

    def _one(self, *conditions: sa.ColumnElement[bool]) -> Job | None:
        with self._metadata.begin() as connection:
            row = connection.execute(sa.select(JobRow.__table__).where(*conditions)).one_or_none()
        return None if row is None else job_of(row)

    def _update(
        self,
        job_id: str,
        attempt: int,
        state: JobState,
        values: Mapping[str, Any],
        *also: sa.ColumnElement[bool],
        then: Callable[[sa.Connection, Job], None] | None = None,
    ) -> Job | None:
        """The job after it has been changed, None where the attempt was not in that state. What is to be done `then` is
        done in the same transaction."""
        changed = sa.update(JobRow).where(self._where(job_id, attempt, state), *also).values(values)
        with self._metadata.begin() as connection:
            row = connection.execute(changed.returning(JobRow.__table__)).one_or_none()
            job = None if row is None else job_of(row)
            if job is not None and then is not None:
                then(connection, job)
        return job

    def _where(self, job_id: str, attempt: int, state: JobState) -> sa.ColumnElement[bool]:
        mine = (JobRow.project == self._project, JobRow.id == job_id)
        return sa.and_(*mine, JobRow.attempt == attempt, JobRow.state == state)


_NEXT_ATTEMPT: Mapping[str, Any] = {
    "state": JobState.QUEUED,
    "attempt": JobRow.attempt + 1,
    "enqueued": False,
    "worker": None,
    "heartbeat": None,
}


def _columns(progress: Progress) -> dict[str, Any]:
    phase = progress.phase.replace("\0", "")[:LONGEST_PHASE]
    return {"phase": phase, "rows_done": progress.rows_done, "rows_total": progress.rows_total}
