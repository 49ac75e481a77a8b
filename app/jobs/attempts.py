"""One attempt of a job from its claim to its end: what the kind does, and what becomes of the record."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import structlog

from app.errors import ConfigurationError, FreshetError, WorkerLostError
from app.job import Job, JobCancelled, JobFault, JobKind, JobState
from app.jobs.running import RunningJob, Stop
from app.stores.job_claims import JobClaims

log = structlog.get_logger(__name__)

T = TypeVar("T")

Kinds = Mapping[str, JobKind]

_RETRY_SECONDS = 0.5
_TRIES = 10
_MOST_LOSSES = 3
"""A job that has cost so many workers is not given to a fourth one."""


@dataclass(frozen=True)
class Outcome:
    """What a kind has come back with: a result or an exception."""

    result: Mapping[str, Any] | None = None
    error: BaseException | None = None


class Attempts:
    """Runs attempts, each in the thread of whoever asks for it and a second one that can be left behind."""

    def __init__(
        self,
        claims: JobClaims,
        kinds: Callable[[], Kinds],
        worker: str,
        clock: Callable[[], datetime],
        beat: float,
    ) -> None:
        """`kinds` is called when a job needs them, and may take its time; `beat` as for RunningJob."""
        self._claims = claims
        self._kinds = kinds
        self._worker = worker
        self._clock = clock
        self._beat = beat
        self._loaded: Kinds | None = None
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._running: RunningJob | None = None
        self._ended = threading.Event()
        self._ended.set()
        self._stopping = threading.Event()
        self._abandoned = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether an attempt is at work."""
        return not self._ended.is_set()

    @property
    def running(self) -> Job | None:
        """The job that is at work."""
        with self._lock:
            return None if self._running is None else self._running.job

    def begin(self, job_id: str, attempt: int) -> None:
        """Run this attempt, if it is still to be had, until its end is in the record or the worker stops."""
        self._ended.clear()
        try:
            job = None
            if not self._stopping.is_set():
                job = self._insist(lambda: self._claims.claim(job_id, attempt, self._worker, self._clock()))
            if self._stopping.is_set():
                # In the queue it was begun, so nobody else would come for this attempt.
                self._last_words(job_id, attempt, JobState.QUEUED if job is None else JobState.RUNNING)
            elif job is not None:
                self._run(job)
        finally:
            self._ended.set()

    def stop(self, patience: float) -> bool:
        """Let no more begin, and leave what runs to another worker; tells whether it has stopped within so many
        seconds. What has not is in the record as given back all the same, and goes on until the process ends."""
        self._stopping.set()
        with self._lock:
            running = self._running
        if running is not None:
            running.stop(Stop.STOPPING)
        if self._ended.wait(patience):
            return True
        self._abandoned.set()
        self._ended.wait(patience)
        return False

    def forget(self, job: Job) -> bool:
        """Let the kind remove what the job has left; False where it cannot, which is logged."""
        try:
            kind = self._known().get(job.kind)
            if kind is not None:
                kind.forget(job)
        except Exception as error:  # whatever it is, the job's state must not hang on it
            log.warning("what a job has left cannot be removed", job=job.id, reason=reason_of(error))
            return False
        return True

    def _known(self) -> Kinds:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._kinds()
            return self._loaded

    def _run(self, job: Job) -> None:
        log.info("job begun", job=job.id, kind=job.kind, attempt=job.attempt)
        with RunningJob(self._claims, job, self._clock, self._beat) as running, self._shown(running):
            if job.cancel_requested:
                running.stop(Stop.CANCELLED)
            if self._stopping.is_set():
                running.stop(Stop.STOPPING)
            outcome = self._work(running)
            if outcome is None:
                self._last_words(job.id, job.attempt, JobState.RUNNING)
            else:
                self._settle(running, outcome)

    @contextlib.contextmanager
    def _shown(self, running: RunningJob) -> Iterator[None]:
        with self._lock:
            self._running = running
        try:
            yield
        finally:
            with self._lock:
                self._running = None

    def _work(self, running: RunningJob) -> Outcome | None:
        """What the kind came back with; None where the worker could not wait for it."""
        outcomes: list[Outcome] = []
        done = threading.Event()

        def work() -> None:
            try:
                outcomes.append(Outcome(self._do(running)))
            except BaseException as error:  # it is the outcome
                outcomes.append(Outcome(error=error))
            done.set()

        threading.Thread(target=work, name=f"job-{running.job.id}", daemon=True).start()
        while not done.wait(0.1):
            if self._abandoned.is_set():
                return None
        return outcomes[0]

    def _do(self, running: RunningJob) -> Mapping[str, Any]:
        job = running.job
        if job.attempt > 1:
            self.forget(replace(job, attempt=job.attempt - 1))
        running.check()
        if job.losses >= _MOST_LOSSES:
            raise WorkerLostError(
                f"{job.losses} workers have died one after another while they ran this job. Most often the system ends "
                "them for want of memory: ask for less at once, or give the workers more"
            )
        kind = self._known().get(job.kind)
        if kind is None:
            raise ConfigurationError(
                f"The worker that took this job knows no jobs of kind {job.kind}; run server and workers of one version"
            )
        result = kind.run(job, running)
        # Here and not in the database's driver: what is no JSON is a fault of the kind.
        json.dumps(result, allow_nan=False)
        return result

    def _settle(self, running: RunningJob, outcome: Outcome) -> None:
        """Write the end of an attempt into the record, however long the database takes."""
        job, error = running.job, outcome.error
        told = isinstance(error, JobCancelled) or running.stop_for is not None
        if error is None:
            ended = self._finish(running, JobState.SUCCEEDED, result=outcome.result)
        elif not told:
            ended = self._finish(running, JobState.FAILED, fault=_fault(job, error))
        elif running.stop_for is Stop.STOPPING:
            ended = self._insist(lambda: self._claims.give_back(job.id, job.attempt, JobState.RUNNING))
        else:
            ended = False
        if ended is False:
            # It is to be cancelled, or it is no longer ours: which of them, the record knows.
            ended = running.stop_for is not Stop.LOST and self._finish(running, JobState.CANCELLED)
        if ended is False:
            self.forget(job)
            log.warning("another worker has this job by now", job=job.id, kind=job.kind, attempt=job.attempt)

    def _finish(self, running: RunningJob, state: JobState, **values: Any) -> bool | None:
        """End the job, and remove what it has left unless it succeeded: the files of attempts before anybody can read
        that it has ended, what belongs to the job as such only then, as it could still be another attempt's."""
        job = running.job
        failed = state is not JobState.SUCCEEDED
        if failed:
            self.forget(job)
        finish = self._claims.finish
        ended = self._insist(lambda: finish(job, state, self._clock(), progress=running.progress, **values))
        if ended:
            log.info("job ended", job=job.id, kind=job.kind, attempt=job.attempt, state=str(state))
            if failed:
                self.forget(replace(job, state=state))
        return ended

    def _insist(self, ask: Callable[[], T]) -> T | None:
        """What the database says, as soon as it says anything; None where the worker has to stop before that.

        Raises what is no trouble of the database: the heart then stops, and somebody else tries the job.
        """
        for tries in itertools.count(1):
            try:
                return ask()
            except Exception as error:  # a driver's own, too, when a connection breaks
                if not isinstance(error, FreshetError) and tries >= _TRIES:
                    raise
                if tries == 1:
                    log.warning("the record of a job cannot be written", reason=reason_of(error))
            if self._stopping.wait(_RETRY_SECONDS):
                break
        return None

    def _last_words(self, job_id: str, attempt: int, state: JobState) -> None:
        """Give an attempt back where nobody waits any longer; what cannot be said is found out by other workers."""
        try:
            self._claims.give_back(job_id, attempt, state)
        except Exception as error:  # nobody is left to try it again
            log.warning("a job could not be given back", job=job_id, reason=reason_of(error))


def _fault(job: Job, error: BaseException) -> JobFault:
    if isinstance(error, FreshetError):
        return JobFault(error.slug, error.title, error.detail)
    log.error("a job has failed", job=job.id, kind=job.kind, exc_info=error)
    detail = "The job failed for a reason that nobody has foreseen; the log of the worker says more under the job's id"
    return JobFault(FreshetError.slug, FreshetError.title, detail)


def reason_of(error: Exception) -> str:
    """What a log line may say of an exception."""
    return error.detail if isinstance(error, FreshetError) else type(error).__name__
