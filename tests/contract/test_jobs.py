"""The records of jobs on SQLite and PostgreSQL: what callers see, and which of several workers is right."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import NotFoundError
from app.job import Job, JobFault, JobState, Progress
from app.stores.job_claims import Beat, JobClaims
from app.stores.job_totals import BOUNDS, Totals
from app.stores.jobs import JobRecords
from app.stores.metadata import MetadataStore

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FAULT = JobFault("store-unavailable", "Store unavailable", "The offline store does not answer")


@pytest.fixture
def records(metadata: MetadataStore) -> JobRecords:
    return JobRecords(metadata, "lab")


@pytest.fixture
def claims(metadata: MetadataStore) -> JobClaims:
    return JobClaims(metadata, "lab")


def ordered(records: JobRecords, number: int = 0, kind: str = "export") -> Job:
    return records.create(kind, {"number": number, "text": "ü"}, NOW + number * SECOND)


def begun(records: JobRecords, claims: JobClaims, worker: str = "w1") -> Job:
    job = claims.claim(ordered(records).id, 1, worker, NOW + SECOND)
    assert job is not None
    return job


def found(records: JobRecords, job: Job) -> Job:
    again = records.get(job.id)
    assert again is not None
    return again


def test_an_order_is_kept_as_it_was_given(records: JobRecords, metadata: MetadataStore) -> None:
    job = ordered(records, 7)
    assert found(records, job) == job
    assert (job.state, job.attempt, job.request, job.created_at) == (
        JobState.QUEUED,
        1,
        {"number": 7, "text": "ü"},
        NOW + 7 * SECOND,
    )
    mine = str(uuid.uuid4())
    assert records.create("export", {}, NOW, job_id=mine).id == mine
    other = JobRecords(metadata, "other")
    assert other.get(job.id) is None
    assert other.list() == []
    assert other.request_cancel(job.id, NOW) is None
    assert JobClaims(metadata, "other").claim(job.id, 1, "w1", NOW) is None
    assert found(records, job) == job


def test_the_newest_come_first_page_by_page(records: JobRecords, claims: JobClaims) -> None:
    jobs = [ordered(records, number // 2) for number in range(7)]  # some at the same time
    jobs.append(ordered(records, 9, kind="materialization"))
    newest = sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)
    pages, after = [], None
    while page := records.list(limit=3, after=after):
        pages.append(list(page))
        after = page[-1].id
    assert [len(page) for page in pages] == [3, 3, 2]
    assert [job for page in pages for job in page] == newest
    assert records.list("materialization") == [jobs[-1]]
    running = claims.claim(jobs[2].id, 1, "w1", NOW)
    assert records.list(state=JobState.RUNNING) == [running]
    with pytest.raises(NotFoundError, match="first page"):
        records.list(after=str(uuid.uuid4()))


def test_an_attempt_is_begun_once(records: JobRecords, claims: JobClaims) -> None:
    job = begun(records, claims)
    assert (job.state, job.worker, job.started_at, job.heartbeat) == (
        JobState.RUNNING,
        "w1",
        NOW + SECOND,
        NOW + SECOND,
    )
    assert claims.claim(job.id, 1, "w2", NOW) is None
    assert claims.claim(job.id, 2, "w2", NOW) is None
    # Who does not know whether it was heard may ask again.
    assert claims.claim(job.id, 1, "w1", NOW) == job


def test_of_many_workers_at_once_one_begins(records: JobRecords, claims: JobClaims) -> None:
    job = ordered(records)
    together = threading.Barrier(8)
    winners: list[Job | None] = []

    def claim(worker: str) -> None:
        together.wait()
        winners.append(claims.claim(job.id, 1, worker, NOW))

    threads = [threading.Thread(target=claim, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = filter(None, winners)
    assert found(records, job).worker == winner.worker
    assert len(winners) == 8


def test_a_heartbeat_shows_progress_and_hears_of_the_end(records: JobRecords, claims: JobClaims) -> None:
    job = begun(records, claims)
    assert claims.beat(job, NOW + 2 * SECOND, Progress("joining", 10, 20)) is Beat.GO_ON
    again = found(records, job)
    assert (again.progress, again.heartbeat) == (Progress("joining", 10, 20), NOW + 2 * SECOND)
    records.request_cancel(job.id, NOW)
    assert claims.beat(job, NOW + 3 * SECOND, Progress("j" * 100)) is Beat.CANCEL
    assert found(records, job).progress == Progress("j" * 64)
    assert claims.give_back(job.id, 1, JobState.RUNNING)
    assert claims.beat(job, NOW + 4 * SECOND, Progress()) is Beat.GONE


def test_a_job_ends_once_and_with_what_it_did(records: JobRecords, claims: JobClaims) -> None:
    job = begun(records, claims)
    done = Progress("done", 20, 20)
    assert claims.finish(job, JobState.SUCCEEDED, NOW + 5 * SECOND, result={"rows": 20}, progress=done)
    ended = found(records, job)
    assert (ended.state, ended.result, ended.fault, ended.finished_at, ended.progress) == (
        JobState.SUCCEEDED,
        {"rows": 20},
        None,
        NOW + 5 * SECOND,
        done,
    )
    assert claims.finish(job, JobState.SUCCEEDED, NOW + 9 * SECOND, result={"rows": 21})  # heard before
    assert not claims.finish(job, JobState.FAILED, NOW, fault=FAULT)
    assert not claims.finish(job, JobState.CANCELLED, NOW)
    assert not claims.give_back(job.id, 1, JobState.RUNNING)
    assert records.request_cancel(job.id, NOW) == ended
    assert found(records, job) == ended


def test_a_failure_is_kept_as_a_problem(records: JobRecords, claims: JobClaims) -> None:
    job = begun(records, claims)
    assert claims.finish(job, JobState.FAILED, NOW, fault=FAULT)
    assert (found(records, job).state, found(records, job).fault) == (JobState.FAILED, FAULT)


def test_who_was_taken_for_dead_has_no_say(records: JobRecords, claims: JobClaims) -> None:
    first = begun(records, claims)
    assert claims.lose(first)
    assert not claims.lose(first)  # by a second one who has seen the same
    waiting = found(records, first)
    assert (waiting.state, waiting.attempt, waiting.losses, waiting.worker) == (JobState.QUEUED, 2, 1, None)
    second = claims.claim(first.id, 2, "w2", NOW + 7 * SECOND)
    assert second is not None
    assert second.started_at == first.started_at
    assert claims.beat(first, NOW, Progress("zombie")) is Beat.GONE
    assert not claims.finish(first, JobState.SUCCEEDED, NOW, result={"of": "the dead"})
    assert not claims.finish(first, JobState.CANCELLED, NOW)
    assert not claims.give_back(first.id, 1, JobState.RUNNING)
    assert found(records, first) == second
    assert claims.finish(second, JobState.SUCCEEDED, NOW, result={"of": "the living"})
    assert found(records, first).result == {"of": "the living"}


def test_a_worker_that_still_beats_is_not_lost(records: JobRecords, claims: JobClaims) -> None:
    seen = begun(records, claims)
    assert claims.running() == [seen]
    claims.beat(seen, NOW + 2 * SECOND, Progress())
    assert not claims.lose(seen)
    assert found(records, seen).attempt == 1


def test_a_job_that_is_given_back_loses_nothing(records: JobRecords, claims: JobClaims) -> None:
    job = begun(records, claims)
    claims.beat(job, NOW, Progress("joining", 3))
    assert claims.give_back(job.id, 1, JobState.RUNNING)
    again = claims.claim(job.id, 2, "w2", NOW)
    assert again is not None
    assert (again.losses, again.progress, again.request) == (0, Progress(), job.request)


def test_a_waiting_job_is_cancelled_at_once_and_tidied_later(records: JobRecords, claims: JobClaims) -> None:
    job = ordered(records)
    ended = records.request_cancel(job.id, NOW + SECOND)
    assert ended is not None
    assert (ended.state, ended.finished_at) == (JobState.CANCELLED, NOW + SECOND)
    assert claims.claim(job.id, 1, "w1", NOW) is None
    assert claims.waiting(10) == []
    assert claims.untidy(10) == [ended]
    claims.tidied(ended)
    assert claims.untidy(10) == []


def test_a_running_job_that_is_to_be_cancelled_ends_in_no_other_way(records: JobRecords, claims: JobClaims) -> None:
    job = begun(records, claims)
    asked = records.request_cancel(job.id, NOW)
    assert asked is not None
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert not claims.finish(job, JobState.SUCCEEDED, NOW, result={})
    assert not claims.finish(job, JobState.FAILED, NOW, fault=FAULT)
    assert found(records, job).state is JobState.RUNNING
    assert claims.finish(job, JobState.CANCELLED, NOW)
    assert claims.untidy(10) == []


def test_of_a_cancellation_and_a_worker_that_stops_neither_is_lost(records: JobRecords, claims: JobClaims) -> None:
    for first, second in [(0, 1), (1, 0)]:
        job = begun(records, claims)
        steps: list[Callable[[], object]] = [
            lambda job=job: records.request_cancel(job.id, NOW),  # type: ignore[misc]
            lambda job=job: claims.give_back(job.id, 1, JobState.RUNNING),  # type: ignore[misc]
        ]
        steps[first]()
        steps[second]()
        assert found(records, job).cancel_requested
        assert found(records, job).attempt == 2
        # Either it has ended, or whoever begins it is told.
        again = claims.claim(job.id, 2, "w2", NOW)
        assert (again is None) == (found(records, job).state is JobState.CANCELLED)


def test_the_oldest_wait_first_and_know_whether_they_are_in_the_queue(records: JobRecords, claims: JobClaims) -> None:
    jobs = [ordered(records, number) for number in (3, 1, 2)]
    waiting = claims.waiting(2)
    assert [ticket.job_id for ticket in waiting] == [jobs[1].id, jobs[2].id]
    assert waiting[0] == (jobs[1].id, 1, jobs[1].created_at, False)
    claims.enqueued(waiting[0])
    assert [ticket.enqueued for ticket in claims.waiting(3)] == [True, False, False]
    claims.give_back(jobs[1].id, 1, JobState.QUEUED)
    # Late, and about an attempt that is over.
    claims.enqueued(waiting[0])
    assert claims.waiting(1)[0][1:] == (2, jobs[1].created_at, False)


def test_what_ended_long_ago_can_be_forgotten_and_nothing_else(records: JobRecords, claims: JobClaims) -> None:
    old, young, running = begun(records, claims), begun(records, claims), begun(records, claims)
    assert claims.finish(old, JobState.SUCCEEDED, NOW, result={})
    assert claims.finish(young, JobState.FAILED, NOW + 10 * SECOND, fault=FAULT)
    waiting = ordered(records)
    assert claims.expired(NOW, 10) == []
    assert [job.id for job in claims.expired(NOW + SECOND, 10)] == [old.id]
    claims.delete([job.id for job in (old, running, waiting)])
    assert {job.id for job in records.list()} == {young.id, running.id, waiting.id}


def test_jobs_are_counted_by_kind_and_state(records: JobRecords, claims: JobClaims) -> None:
    begun(records, claims)
    for kind in ("export", "export", "materialization"):
        ordered(records, kind=kind)
    assert records.counts() == {("export", "running"): 1, ("export", "queued"): 2, ("materialization", "queued"): 1}


def ended(records: JobRecords, claims: JobClaims, seconds: float, rows: int, kind: str = "export") -> Job:
    job = claims.claim(ordered(records, kind=kind).id, 1, "w", NOW)
    assert job is not None
    assert claims.finish(job, JobState.SUCCEEDED, NOW + seconds * SECOND, result={"rows": rows})
    return found(records, job)


def test_jobs_that_end_are_counted_with_their_rows_and_seconds(records: JobRecords, claims: JobClaims) -> None:
    assert records.totals() == Totals()
    ended(records, claims, 0.5, 10)
    ended(records, claims, 0.6, 20)
    ended(records, claims, 1e6, 3)
    ended(records, claims, 5, 0, kind="another")
    failed = begun(records, claims)
    claims.finish(failed, JobState.FAILED, NOW + 9 * SECOND, fault=FAULT)
    records.request_cancel(ordered(records).id, NOW)
    totals = records.totals()
    succeeded, wrong, cancelled = (("export", state) for state in ("succeeded", "failed", "cancelled"))
    assert totals.ended == {succeeded: 3, wrong: 1, cancelled: 1, ("another", "succeeded"): 1}
    assert totals.rows == {"export": 33, "another": 0}
    assert totals.seconds["export"] == pytest.approx(1_000_001.1)
    assert totals.durations["export"] == [1, 1, *[0] * (len(BOUNDS) - 2), 1]
    assert JobRecords(records._metadata, "other").totals() == Totals()


def test_an_end_that_is_repeated_counts_once_and_stays_when_the_job_is_forgotten(
    records: JobRecords, claims: JobClaims
) -> None:
    job = ended(records, claims, 1, 7)
    assert claims.finish(job, JobState.SUCCEEDED, NOW + 2 * SECOND, result={"rows": 7})
    waiting = ordered(records)
    for _ in range(2):
        records.request_cancel(waiting.id, NOW)
    running = begun(records, claims)
    records.request_cancel(running.id, NOW)
    assert claims.finish(running, JobState.CANCELLED, NOW)
    assert claims.finish(running, JobState.CANCELLED, NOW)
    claims.delete([job.id, waiting.id, running.id])
    assert not records.list()
    assert records.totals().ended == {("export", "succeeded"): 1, ("export", "cancelled"): 2}
    assert records.totals().rows == {"export": 7}


def test_ends_that_come_at_once_are_all_counted(records: JobRecords, claims: JobClaims) -> None:
    jobs = [begun(records, claims) for _ in range(8)]
    barrier = threading.Barrier(len(jobs))

    def finish(job: Job) -> None:
        barrier.wait()
        claims.finish(job, JobState.SUCCEEDED, NOW + 2 * SECOND, result={"rows": 1})

    threads = [threading.Thread(target=finish, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records.totals().ended == {("export", "succeeded"): 8}
    assert records.totals().rows == {"export": 8}
    assert sum(records.totals().durations["export"]) == 8


def test_runs_that_end_are_counted_by_view(metadata: MetadataStore) -> None:
    def run(kind: str, view: str, error: str | None = None, project: str = "lab") -> None:
        metadata.end_run(metadata.begin_run(project, kind, view, (None, NOW), NOW), 3, NOW, error)

    run("materialize", "trips")
    run("materialize", "trips")
    run("materialize", "trips", "the store is gone")
    run("compute", "users")
    run("compute", "users", project="other")
    metadata.begin_run("lab", "compute", "users", (None, NOW), NOW)
    assert metadata.ended_runs("lab") == {
        ("materialize", "trips", "succeeded"): 2,
        ("materialize", "trips", "failed"): 1,
        ("compute", "users", "succeeded"): 1,
    }
