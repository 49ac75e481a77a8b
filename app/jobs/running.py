"""One attempt of a job while it runs: heartbeats and progress into its record, and the word that it has to stop."""

from __future__ import annotations

import contextlib
import enum
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import structlog

from app.errors import FreshetError
from app.job import Job, JobCancelled, Progress
from app.stores.job_claims import Beat, JobClaims

log = structlog.get_logger(__name__)

_SECONDS_BETWEEN_REPORTS = 0.25
_MOST_SECONDS_BETWEEN_BEATS = 0.5
"""A heartbeat also hears of a cancellation, which should take effect soon."""
_SECONDS_BETWEEN_INTERRUPTIONS = 0.05
_PATIENCE = 5.0


class Stop(enum.Enum):
    """Why a job has to stop."""

    CANCELLED = enum.auto()
    LOST = enum.auto()
    """Its record is with another attempt by now."""
    STOPPING = enum.auto()
    """The worker stops."""


class RunningJob:
    """Implements app.job.JobControl for the attempt `job`. A context: inside it, its heart beats."""

    def __init__(self, claims: JobClaims, job: Job, clock: Callable[[], datetime], beat: float) -> None:
        """`beat`: most seconds between two heartbeats."""
        self.job = job
        self.cancelled = threading.Event()
        self.stop_for: Stop | None = None
        self.progress = Progress()
        self._claims = claims
        self._clock = clock
        self._beat_seconds = min(beat, _MOST_SECONDS_BETWEEN_BEATS)
        self._lock = threading.Lock()
        self._interrupts: list[Callable[[], object]] = []
        self._ended = threading.Event()
        self._shown = self.progress
        self._failing = False
        self._thread = threading.Thread(target=self._keep_beating, name=f"beats-{job.id}", daemon=True)

    def __enter__(self) -> RunningJob:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # Not for ever: an interruption may hang as what it interrupts does.
        self._thread.join(_PATIENCE)

    def report(self, phase: str, rows_done: int = 0, rows_total: int | None = None) -> None:
        """See the protocol."""
        self.progress = Progress(phase, rows_done, rows_total)

    def check(self) -> None:
        """See the protocol."""
        if self.cancelled.is_set():
            raise JobCancelled

    def confirm(self) -> None:
        """See the protocol."""
        self._hear(self._claims.beat(self.job, self._clock(), self.progress))
        self.check()

    @contextlib.contextmanager
    def on_cancel(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """See the protocol."""
        with self._lock:
            self._interrupts.append(interrupt)
        try:
            yield
        finally:
            # With the lock: once the context has ended, `interrupt` is not being called.
            with self._lock:
                self._interrupts.remove(interrupt)

    def stop(self, why: Stop) -> None:
        """Tell the job to stop; what it was told first holds."""
        with self._lock:
            if self.stop_for is None:
                self.stop_for = why
        self.cancelled.set()

    def _keep_beating(self) -> None:
        beaten = time.monotonic()
        while not self._ended.wait(self._pause()):
            if self.cancelled.is_set():
                self._interrupt()
            since = time.monotonic() - beaten
            if since >= self._beat_seconds or (since >= _SECONDS_BETWEEN_REPORTS and self.progress is not self._shown):
                beaten = time.monotonic()
                self._beat()

    def _pause(self) -> float:
        if self.cancelled.is_set() and self._interrupts:
            return _SECONDS_BETWEEN_INTERRUPTIONS
        return min(self._beat_seconds, _SECONDS_BETWEEN_REPORTS) / 2

    def _beat(self) -> None:
        shown = self.progress
        try:
            self._hear(self._claims.beat(self.job, self._clock(), shown))
        except Exception as error:  # whatever it is, the next heartbeat may succeed
            if not self._failing:
                reason = error.detail if isinstance(error, FreshetError) else type(error).__name__
                log.warning("the progress of a job cannot be written", job=self.job.id, reason=reason)
            self._failing = True
        else:
            self._shown, self._failing = shown, False

    def _hear(self, found: Beat) -> None:
        if found is Beat.CANCEL:
            self.stop(Stop.CANCELLED)
        elif found is Beat.GONE:
            self.stop(Stop.LOST)

    def _interrupt(self) -> None:
        with self._lock:
            for interrupt in self._interrupts:
                try:
                    interrupt()
                except Exception as error:  # the others must be interrupted all the same
                    log.warning("a job cannot be interrupted", job=self.job.id, reason=type(error).__name__)
