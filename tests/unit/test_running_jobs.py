"""What a running job says and hears, over records that only remember what was asked of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from app.errors import StoreUnavailableError
from app.job import Job, JobCancelled, JobState, Progress
from app.jobs.queue_logs import _Quiet
from app.jobs.running import RunningJob, Stop
from app.jobs.sweep import Watch
from app.stores.job_claims import Beat, JobClaims
from tests.servers.waiting import wait_until

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JOB = Job("j", "lab", "export", {}, JobState.RUNNING, 1, NOW)


class Records:
    """Stands in for JobClaims."""

    def __init__(self) -> None:
        self.answer: Beat | Exception = Beat.GO_ON
        self.beats: list[Progress] = []

    def beat(self, job: Job, now: datetime, progress: Progress) -> Beat:
        assert (job, now) == (JOB, NOW)
        self.beats.append(progress)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def running(records: Records, beat: float = 60.0) -> RunningJob:
    return RunningJob(cast(JobClaims, records), JOB, lambda: NOW, beat)


def test_progress_is_written_now_and_then_and_the_last_of_it() -> None:
    records = Records()
    began = time.monotonic()
    with running(records) as job:
        while time.monotonic() - began < 1.5:
            job.report("joining", 1)
        job.report("joining", 2, 2)
        wait_until("the last report", lambda: Progress("joining", 2, 2) in records.beats)
        elapsed = time.monotonic() - began
    # Four times a second, and the first one at once or later.
    assert len(records.beats) <= elapsed * 4 + 1


def test_a_heart_beats_without_any_progress() -> None:
    records = Records()
    with running(records, beat=0.01):
        wait_until("heartbeats", lambda: len(records.beats) >= 5)
    assert set(records.beats) == {Progress()}
    ended = len(records.beats)
    assert not [thread for thread in threading.enumerate() if thread.name == "beats-j"]
    assert len(records.beats) == ended


@pytest.mark.parametrize(("answer", "why"), [(Beat.CANCEL, Stop.CANCELLED), (Beat.GONE, Stop.LOST)])
def test_a_heartbeat_hears_that_the_job_has_to_stop(answer: Beat, why: Stop) -> None:
    records = Records()
    with running(records, beat=0.01) as job:
        job.check()
        records.answer = answer
        assert job.cancelled.wait(10)
        assert job.stop_for is why
        with pytest.raises(JobCancelled):
            job.check()
        # What it was told first holds.
        job.stop(Stop.STOPPING)
        assert job.stop_for is why


def test_a_database_that_is_away_stops_no_job() -> None:
    records = Records()
    records.answer = StoreUnavailableError("away")
    with running(records, beat=0.01) as job:
        wait_until("failures", lambda: len(records.beats) >= 3)
        assert not job.cancelled.is_set()
        with pytest.raises(StoreUnavailableError):
            job.confirm()
        records.answer = Beat.GO_ON
        job.confirm()
        records.answer = Beat.GONE
        with pytest.raises(JobCancelled):
            job.confirm()


def test_an_interruption_is_repeated_until_it_has_worked_and_never_after() -> None:
    calls: list[str] = []

    def interrupt(name: str) -> Callable[[], object]:
        def call() -> object:
            calls.append(name)
            raise RuntimeError("closed")

        return call

    with running(Records()) as job:
        with job.on_cancel(interrupt("over before")):
            pass
        with job.on_cancel(interrupt("first")), job.on_cancel(interrupt("second")):
            assert calls == []
            job.stop(Stop.STOPPING)
            wait_until("interruptions", lambda: calls.count("second") >= 3)
            assert calls.count("first") >= 3
        ended = len(calls)
        with job.on_cancel(interrupt("third")):
            wait_until("an interruption of what began late", lambda: "third" in calls)
        assert "third" not in calls[:ended]
    assert "over before" not in calls


def test_a_watch_counts_from_when_it_saw_the_last_change() -> None:
    now = [0.0]
    watch: Watch[int] = Watch(lambda: now[0])
    watch.see({("a", 1): 7})
    now[0] = 4.0
    watch.see({("a", 1): 7, ("b", 1): 1})
    assert (watch.since(("a", 1)), watch.since(("b", 1))) == (4.0, 0.0)
    now[0] = 5.0
    watch.see({("a", 1): 8, ("b", 1): 1})
    assert (watch.since(("a", 1)), watch.since(("b", 1))) == (0.0, 1.0)
    watch.forget()
    watch.see({("b", 1): 1})
    assert watch.since(("b", 1)) == 0.0


def test_lines_of_the_queue_are_cut_and_not_repeated() -> None:
    now = [0.0]
    quiet = _Quiet(lambda: now[0])

    def said(text: str) -> str | None:
        fields: dict[str, Any] = {"msg": text, "exc_info": (ValueError, ValueError("secret"), None)}
        record = logging.makeLogRecord(fields)
        if not quiet.filter(record):
            return None
        assert record.exc_info is None
        return record.getMessage()

    assert said("Exception encountered: host 10.0.0.1, secret") == "Exception encountered"
    assert said("Exception encountered: another secret") is None
    assert said("another line\nsecret") == "another line"
    now[0] = 61.0
    assert said("Exception encountered: secret") == "Exception encountered"
