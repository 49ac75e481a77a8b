"""Background work as those see it who order it and those who do it: a job, and what a running one may say. No I/O.

A kind of job (an export, say) implements `JobKind`. A worker process runs it; app.jobs knows how.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


class JobState(enum.StrEnum):
    """Where a job is. The last three are ends: nothing leads out of them."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether it is an end."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobCancelled(Exception):
    """Raised by a kind that has stopped because it was told to; whatever it raises after that counts as this."""


@dataclass(frozen=True)
class Progress:
    """What a job is at, and how far. `rows_total` None: not known yet."""

    phase: str = ""
    rows_done: int = 0
    rows_total: int | None = None


@dataclass(frozen=True)
class JobFault:
    """Why a job failed, in the words of a problem (see app.errors); never a stack trace, never a secret."""

    slug: str
    title: str
    detail: str


@dataclass(frozen=True)
class Job:
    """One piece of background work, as its record says. Times are UTC.

    `attempt` counts how often it was handed to the workers, from 1 on: a worker that dies or stops leaves the next
    attempt to another one. Only the attempt of the record may end the job. `losses` counts those whose worker died.
    """

    id: str
    project: str
    kind: str
    request: Mapping[str, Any]
    state: JobState
    attempt: int
    created_at: datetime
    progress: Progress = Progress()
    result: Mapping[str, Any] | None = None
    fault: JobFault | None = None
    worker: str | None = None
    losses: int = 0
    cancel_requested: bool = False
    started_at: datetime | None = None
    """When the first attempt began."""
    finished_at: datetime | None = None
    heartbeat: datetime | None = None
    """When the worker was last known to be at it, by that worker's clock."""


class JobControl(Protocol):
    """What a running job says to its worker, and hears from it. For any thread."""

    cancelled: threading.Event
    """Set when the job has to stop, and soon: it was cancelled, the worker stops, or another worker has it by now."""

    def report(self, phase: str, rows_done: int = 0, rows_total: int | None = None) -> None:
        """Show this progress. Costs nothing: the record is written a few times a second, by another thread."""

    def check(self) -> None:
        """Raise JobCancelled where the job has to stop."""

    def confirm(self) -> None:
        """Ask the database whether this attempt is still the one that counts; right before something is published that
        is not named after the attempt. Raises JobCancelled where it is not, StoreUnavailableError."""

    def on_cancel(self, interrupt: Callable[[], object]) -> AbstractContextManager[None]:
        """Inside the context, `interrupt` is called from another thread once the job has to stop, again and again until
        the context ends: an interruption that comes just before a query begins would be lost."""


class JobKind(Protocol):
    """One kind of job. A worker makes one and uses it for all jobs of the kind, one after another."""

    def run(self, job: Job, control: JobControl) -> Mapping[str, Any]:
        """Do the work; what comes back is the job's result, as JSON.

        May be called again for the same job with a higher attempt, while a worker that was taken for dead is still at
        an earlier one. So whatever it writes is named after `job.id` and `job.attempt`, and the result names it: the
        record takes one result, of the attempt that counts. Raises JobCancelled when told to stop, and a FreshetError
        for what a caller may know; of any other exception only the log says more.
        """

    def forget(self, job: Job) -> None:
        """Remove all that attempts up to `job.attempt` have left, finished or not, and nothing of later ones. Called
        when a job has failed or was cancelled, before another attempt, and when the record expires; maybe repeatedly,
        and maybe without `run` before. With the job it removes what belongs to the job as such where
        `job.state.finished`."""


class JobOrders(Protocol):
    """The jobs of one project, as who orders them sees them. Methods block, and raise StoreUnavailableError."""

    def create(self, kind: str, request: Mapping[str, Any], now: datetime, job_id: str | None = None) -> Job:
        """Order a job. `request` is JSON; `job_id` a UUID, made up by default."""

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""

    def list(
        self, kind: str | None = None, limit: int = 50, after: str | None = None, state: JobState | None = None
    ) -> Sequence[Job]:
        """Jobs, the newest first. Raises NotFoundError where there is no job `after`."""

    def request_cancel(self, job_id: str, now: datetime) -> Job | None:
        """Cancel it, unless it has ended; what it is now, or None."""
