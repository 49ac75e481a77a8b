"""A worker: takes jobs from the queue and runs them, one at a time, until it is told to stop."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from app.errors import ConfigurationError
from app.jobs.attempts import Attempts, Kinds, reason_of
from app.jobs.queue import JobQueue
from app.jobs.sweep import Sweep
from app.settings import Settings
from app.stores.job_claims import JobClaims
from app.stores.metadata import MetadataStore

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
_SECONDS_UNTIL_ASLEEP = 10.0
_SECONDS_BETWEEN_TIDYINGS = 5.0
_SECONDS_BETWEEN_EXPIRIES = 600.0
_SECONDS_TO_STOP = 3.0


class Worker:
    """One worker process. Idle, it looks for orders five times a second, and has no part in the queue.

    What fails is logged once and tried again: a worker outlives its databases.
    """

    def __init__(
        self,
        settings: Settings,
        metadata: MetadataStore,
        project: str,
        kinds: Callable[[], Kinds],
        clock: Callable[[], datetime],
    ) -> None:
        """`kinds` gives the kinds of jobs by name; it is called when the first job comes, as it may take seconds."""
        self.name = str(uuid.uuid4())
        beat = settings.job_heartbeat
        claims = JobClaims(metadata, project)
        self._metadata = metadata
        self._attempts = Attempts(claims, kinds, self.name, clock, beat)
        self._queue = JobQueue(settings.metadata_url, project, self.name)
        self._sweep = Sweep(claims, self._queue, self._attempts, beat)
        self._beat = beat
        self._retention: timedelta = settings.export_retention
        self._clock = clock
        self._stopping = False
        self._failing = ""
        self._ready = False
        self._last_work = time.monotonic()
        self._due: dict[str, float] = {}

    def stop(self) -> None:
        """Stop soon: what runs is given back to the queue. For any thread, and for handlers of signals."""
        self._stopping = True

    def run(self) -> bool:
        """Work until told to stop; False where a job did not stop in time, and still is at it in this process."""
        log.info("worker started", worker=self.name)
        while not self._stopping:
            try:
                self._look()
                if self._failing:
                    log.info("the databases of the jobs answer again", worker=self.name)
                self._failing = ""
            except Exception as error:  # whatever it is, the worker must outlive it
                if self._failing != (reason := reason_of(error)):
                    log.warning("looking for jobs has failed", worker=self.name, reason=reason)
                self._failing = reason
            time.sleep(_LOOK_SECONDS)
        stopped = self._attempts.stop(_SECONDS_TO_STOP)
        self._queue.close()
        log.info("worker stopped", worker=self.name)
        return stopped

    def _look(self) -> None:
        self._prepare()
        waiting = self._sweep.waiting()
        if waiting:
            self._wake()
            self._sweep.hand_over(waiting)
        if self._is_due("sweep", self._beat):
            self._sweep.find_dead()
            if waiting:
                self._sweep.find_lost(waiting)
        if self._is_due("tidying", _SECONDS_BETWEEN_TIDYINGS):
            self._sweep.tidy()
        if self._is_due("expiry", _SECONDS_BETWEEN_EXPIRIES):
            self._expire()
        if self._queue.is_open and self._may_sleep(bool(waiting)):
            self._queue.close()

    def _prepare(self) -> None:
        """See that the tables are there: those of the records, which others make; and make those of the queue, which
        takes a second the first time, before the first job comes."""
        if not self._ready:
            if not self._metadata.is_current():
                raise ConfigurationError(
                    "the metadata database has not been migrated; waiting for `freshet db upgrade`"
                )
            self._queue.prepare()
            self._ready = True

    def _wake(self) -> None:
        self._last_work = time.monotonic()
        if not self._queue.is_open:
            self._queue.open(self._attempts.begin)

    def _may_sleep(self, waiting: bool) -> bool:
        if waiting or self._attempts.busy:
            self._last_work = time.monotonic()
        return time.monotonic() - self._last_work >= _SECONDS_UNTIL_ASLEEP

    def _expire(self) -> None:
        before = self._clock() - self._retention
        while jobs := self._sweep.expired(before):
            self._wake()
            if not self._sweep.expire(jobs):
                break

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, now):
            return False
        self._due[what] = now + seconds
        return True
