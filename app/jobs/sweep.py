"""What some worker has to do that nobody asks for: hand orders to the queue, find the jobs of dead workers, tidy up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import structlog

from app.job import Job, JobState
from app.jobs.attempts import Attempts
from app.jobs.queue import JobQueue
from app.stores.job_claims import JobClaims, Ticket

log = structlog.get_logger(__name__)

T = TypeVar("T")

_BEATS = 5
"""After so many intervals without a heartbeat a worker is taken for dead."""
_AT_ONCE = 100


class Watch(Generic[T]):
    """Since when something is as it is, by our own clock: those of workers may differ by more than a heartbeat."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._seen: dict[tuple[str, int], tuple[T, float]] = {}

    def see(self, found: Mapping[tuple[str, int], T]) -> None:
        """This is how it is; what is not in it is forgotten."""
        now = self._elapsed()
        before = self._seen
        self._seen = {
            key: before[key] if key in before and before[key][0] == value else (value, now)
            for key, value in found.items()
        }

    def since(self, key: tuple[str, int]) -> float:
        """For how many seconds it has been seen unchanged."""
        return self._elapsed() - self._seen[key][1]

    def forget(self) -> None:
        """Begin anew: nobody could be seen for a while."""
        self._seen = {}


class Sweep:
    """For the thread of one worker. Every method raises StoreUnavailableError where a database does not answer."""

    def __init__(
        self,
        claims: JobClaims,
        queue: JobQueue,
        attempts: Attempts,
        heartbeat: float,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claims = claims
        self._queue = queue
        self._attempts = attempts
        self._patience = _BEATS * heartbeat
        self._hearts: Watch[datetime | None] = Watch(elapsed)
        self._begun: Watch[None] = Watch(elapsed)

    def waiting(self) -> Sequence[Ticket]:
        """The oldest attempts that wait. Younger ones come to the queue when these have left it."""
        return self._claims.waiting(_AT_ONCE)

    def hand_over(self, tickets: Iterable[Ticket]) -> None:
        """Put those into the queue that are not in it. Whoever dies between the two leaves it to the next one."""
        for ticket in tickets:
            if not ticket.enqueued:
                self._queue.enqueue(ticket)
                self._claims.enqueued(ticket)

    def find_lost(self, tickets: Iterable[Ticket]) -> None:
        """Find attempts that somebody took from the queue and did not begin, or that were lost with the queue."""
        enqueued = [ticket for ticket in tickets if ticket.enqueued]
        missing = self._queue.not_waiting(enqueued) if enqueued else []
        self._begun.see({(ticket.job_id, ticket.attempt): None for ticket in missing})
        for job_id, attempt, *_ in missing:
            if self._begun.since((job_id, attempt)) >= self._patience:
                log.warning("nobody has begun a job that somebody took", job=job_id, attempt=attempt)
                self._claims.give_back(job_id, attempt, JobState.QUEUED)

    def find_dead(self) -> None:
        """Leave jobs whose worker has died to another attempt."""
        try:
            mine = self._attempts.running
            running = [job for job in self._claims.running() if mine is None or job.id != mine.id]
        except BaseException:
            # Whoever could not beat because the database was away gets its time again when it is back.
            self._hearts.forget()
            raise
        self._hearts.see({(job.id, job.attempt): job.heartbeat for job in running})
        for job in running:
            if self._hearts.since((job.id, job.attempt)) >= self._patience and self._claims.lose(job):
                log.warning("the worker of a job has died", job=job.id, attempt=job.attempt, worker=job.worker)

    def tidy(self) -> None:
        """Remove what jobs have left that were cancelled while they waited."""
        for job in self._claims.untidy(_AT_ONCE):
            if self._attempts.forget(job):
                self._claims.tidied(job)

    def expired(self, before: datetime) -> Sequence[Job]:
        """Jobs that ended before this moment, the oldest ones."""
        return self._claims.expired(before, _AT_ONCE)

    def expire(self, jobs: Sequence[Job]) -> bool:
        """Remove these jobs with all that they have left; False where something could not be removed: its job stays."""
        gone = [job for job in jobs if self._attempts.forget(job)]
        if gone:
            self._queue.forget(gone)
            self._claims.delete([job.id for job in gone])
            log.info("old jobs forgotten", jobs=len(gone))
        return len(gone) == len(jobs)
