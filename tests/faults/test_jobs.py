"""Jobs in real worker processes that die, stop and stand still: each job ends, once, and in one worker at a time."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.job import Job, JobState, Progress
from app.stores.job_claims import JobClaims
from tests.faults.job_world import JobWorld, created
from tests.servers import PostgresServer
from tests.servers.waiting import wait_until


@contextlib.contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[JobWorld]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_database").sqlalchemy_url
    with created(folder, url) as world:
        yield world


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobWorld]:
    """A world for one test, over either database."""
    with opened(request, tmp_path) as world:
        yield world


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobWorld]:
    """The same where PostgreSQL is not expected to differ, and takes some seconds more."""
    with opened(request, tmp_path) as world:
        yield world


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[JobWorld]:
    """A world for one test, over SQLite."""
    with created(tmp_path) as world:
        yield world


def done_once(world: JobWorld, *jobs: Job) -> None:
    """Every job has succeeded, with one published file, the one that its result names."""
    ended = [world.wait_for(job, JobState.SUCCEEDED) for job in jobs]
    assert world.left("done", "part") == {f"{job.id}-{job.attempt}.done" for job in ended}
    assert [job.result for job in ended] == [{"file": f"{job.id}-{job.attempt}.done"} for job in ended]


def test_jobs_are_done_in_order_and_soon(either: JobWorld) -> None:
    with either.worker() as worker:
        # What comes first makes the tables of the queue.
        done_once(either, either.order("write", steps=1))
        jobs = [either.order("write", steps=3) for _ in range(4)]
        done_once(either, *jobs, *either.records.list())
        ended = [either.job(job) for job in jobs]
        began = [job.started_at for job in ended]
        assert began == sorted(filter(None, began))
        assert [job.progress for job in ended] == [Progress("writing", 3, 3)] * 4
        assert {job.worker for job in ended} == {ended[0].worker}
        assert "job ended" in worker.output()


def test_a_running_worker_takes_over_from_a_killed_one(world: JobWorld) -> None:
    held = world.order("hold")
    with world.worker() as doomed:
        world.wait_for_file(f"{held.id}-1.part")
        with world.worker():
            world.kill(doomed)
            world.wait_for_file(f"{held.id}-2.part")
            assert not (world.files / f"{held.id}-1.part").exists()
            world.go()
            done_once(world, held)
    assert world.job(held).losses == 1


def test_a_successor_goes_on_with_what_a_killed_worker_left(either: JobWorld) -> None:
    jobs = [either.order("hold"), either.order("write", steps=2)]
    with either.worker() as doomed:
        either.wait_for_file(f"{jobs[0].id}-1.part")
        either.kill(doomed)
    assert either.job(jobs[0]).state is JobState.RUNNING
    with either.worker():
        either.wait_for_file(f"{jobs[0].id}-2.part")
        either.go()
        done_once(either, *jobs)


@pytest.mark.full  # workers have to be missed
@pytest.mark.parametrize("death", ["dies-before-enqueueing", "dies-before-claiming"])
def test_nothing_is_lost_between_the_record_and_the_queue(world: JobWorld, death: str) -> None:
    job = world.order("write", steps=2)
    world.start(death).wait(60)
    assert world.job(job).state is JobState.QUEUED
    with world.worker():
        done_once(world, job)
    # What was only handed over is not begun anew; what was taken from the queue by the dead one is.
    assert (world.job(job).attempt, world.job(job).losses) == ((1, 0) if death == "dies-before-enqueueing" else (2, 0))


@pytest.mark.full  # a queue has to be missed
def test_a_queue_that_was_lost_is_filled_again(embedded: JobWorld) -> None:
    first, second = embedded.order("hold"), embedded.order("write", steps=2)
    with embedded.worker() as worker:
        embedded.wait_for_file(f"{first.id}-1.part")
        wait_until(
            "the second one to be in the queue", lambda: JobClaims(embedded.metadata, "freshet").waiting(2)[0].enqueued
        )
        embedded.kill(worker)
    for file in (embedded.folder / "data").glob("freshet-jobs.db*"):
        file.unlink()
    with embedded.worker():
        embedded.go()
        done_once(embedded, first, second)


@pytest.mark.full  # a worker has to be missed
def test_a_worker_that_stood_still_finds_its_job_with_another_one(either: JobWorld) -> None:
    with either.worker() as frozen:
        job = either.order("write", steps=200)
        either.wait_for_file(f"{job.id}-1.part")
        with frozen.paused():
            # Its lock says nothing here: it holds it, as it lives.
            (either.files / f"{job.id}.lock").unlink()
            with either.worker():
                done = either.wait_for(job, JobState.SUCCEEDED)
                assert done.attempt == 2
                (either.files / f"{job.id}-1.part").touch()
        either.wait_for_log(frozen, "another worker has this job by now")
    assert either.job(job) == done
    assert either.left("done", "part") == {f"{job.id}-2.done"}


@pytest.mark.full  # three workers have to be missed
def test_a_job_that_kills_its_workers_fails_in_the_end(either: JobWorld) -> None:
    job, other = either.order("die"), either.order("write", steps=2)
    for _ in range(3):
        either.start().wait(60)
    with either.worker():
        failed = either.wait_for(job, JobState.FAILED)
        assert failed.fault is not None
        assert (failed.fault.slug, failed.attempt, failed.losses) == ("worker-lost", 4, 3)
        assert "memory" in failed.fault.detail
        done_once(either, other)


def test_a_running_job_is_cancelled_within_two_seconds(world: JobWorld) -> None:
    with world.worker():
        for do in ("hold", "query"):
            job = world.order(do)
            phase = {"hold": "holding", "query": "querying"}[do]
            wait_until(phase, lambda job=job, phase=phase: world.job(job).progress.phase == phase)  # type: ignore[misc]
            world.records.request_cancel(job.id, datetime.now(UTC))
            ended = world.wait_for(job, JobState.CANCELLED, seconds=2)
            assert (ended.result, ended.fault) == (None, None)
            assert world.left("done", "part") == set()
            world.wait_for_file(f"{job.id}.forgotten")


@pytest.mark.full  # workers have to start
def test_a_waiting_job_is_cancelled_at_once_and_never_begun(embedded: JobWorld) -> None:
    with embedded.worker():
        first, second = embedded.order("hold"), embedded.order("write", steps=1)
        embedded.wait_for_file(f"{first.id}-1.part")
        cancelled = embedded.records.request_cancel(second.id, datetime.now(UTC))
        assert cancelled is not None
        assert cancelled.state is JobState.CANCELLED
        embedded.wait_for_file(f"{second.id}.forgotten")
        embedded.go()
        done_once(embedded, first)
    assert embedded.left("began") == {f"{first.id}-1.began"}


@pytest.mark.full  # a worker has to be missed
def test_the_job_of_a_dead_worker_can_be_cancelled(embedded: JobWorld) -> None:
    job = embedded.order("hold")
    with embedded.worker() as doomed:
        embedded.wait_for_file(f"{job.id}-1.part")
        embedded.kill(doomed)
    embedded.records.request_cancel(job.id, datetime.now(UTC))
    with embedded.worker():
        embedded.wait_for(job, JobState.CANCELLED)
        assert embedded.left("part", "done") == set()
    assert embedded.left("began") == {f"{job.id}-1.began"}


@pytest.mark.full  # workers have to stop, and others to start
@pytest.mark.parametrize("do", ["hold", "query", "stubborn"])
def test_a_worker_that_is_told_to_stop_gives_its_job_back(embedded: JobWorld, do: str) -> None:
    job = embedded.order(do)
    with embedded.worker() as stopping:
        embedded.wait_for_file(f"{job.id}-1.began")
        embedded.wait_for(job, JobState.RUNNING)
        began = time.monotonic()
        assert stopping.stop(10) == 0
        assert time.monotonic() - began < 6
    given_back = embedded.job(job)
    assert (given_back.state, given_back.attempt, given_back.losses) == (JobState.QUEUED, 2, 0)
    if do == "hold":
        with embedded.worker():
            embedded.wait_for_file(f"{job.id}-2.part")
            embedded.go()
            done_once(embedded, job)


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_failed_job_says_why_and_leaves_nothing(embedded: JobWorld, foreseen: bool) -> None:
    with embedded.worker() as worker:
        job = embedded.wait_for(embedded.order("fail", foreseen=foreseen), JobState.FAILED)
        assert job.fault is not None
        assert job.fault.slug == ("store-unavailable" if foreseen else "internal")
        assert "secret" not in job.fault.detail
        assert embedded.left("part", "done") == set()
        assert ("ZeroDivisionError" in worker.output()) is not foreseen
        done_once(embedded, embedded.order("write", steps=1))


@pytest.mark.full  # workers have to start
def test_old_jobs_are_forgotten_with_their_files(either: JobWorld) -> None:
    with either.worker():
        old = either.wait_for(either.order("write", steps=1), JobState.SUCCEEDED)
    either.environment["FRESHET_EXPORT_RETENTION"] = "0.001"
    waiting = either.order("hold")
    with either.worker():
        wait_until("the record to be gone", lambda: either.records.get(old.id) is None)
        assert either.left("done") == set()
        either.wait_for_file(f"{waiting.id}-1.part")
        either.go()
        either.wait_for(waiting, JobState.SUCCEEDED)


@pytest.mark.full  # two workers have to start
def test_the_workers_share_the_work(either: JobWorld) -> None:
    with either.worker(), either.worker():
        jobs = [either.order("hold") for _ in range(3)]
        for job in jobs[:2]:
            either.wait_for_file(f"{job.id}-1.part")
        # One at a time each: the third one waits its turn.
        assert either.job(jobs[2]).state is JobState.QUEUED
        assert len({either.job(job).worker for job in jobs[:2]}) == 2
        either.go()
        done_once(either, *jobs)


@pytest.mark.full
@pytest.mark.parametrize("times", [20])
def test_kill_9_at_random_moments(world: JobWorld, times: int) -> None:
    """One worker after another is killed, at any moment of the life of a job, while the next one has come."""
    dice = random.Random()
    jobs = [world.order("write", steps=dice.randint(1, 60)) for _ in range(times)]
    # By chance one job may lose many workers.
    current = world.start("patient")
    for _ in range(times):
        successor = world.start("patient")
        world.wait_for_log(successor, "worker started")
        time.sleep(dice.uniform(0, 1.0))  # the moment of the death is what is varied
        world.kill(current)
        current = successor
    done_once(world, *jobs)


@pytest.mark.full  # a database has to be missed
def test_a_postgresql_that_goes_away_is_waited_for(tmp_path: Path, private_postgres: PostgresServer) -> None:
    database = private_postgres.create_database("jobs")
    with created(tmp_path, database.sqlalchemy_url) as world, world.worker() as worker:
        held, waiting = world.order("hold"), world.order("write", steps=2)
        world.wait_for_file(f"{held.id}-1.part")
        private_postgres.kill()
        world.wait_for_log(worker, "the progress of a job cannot be written")
        world.wait_for_log(worker, "looking for jobs has failed")
        # It ends while nobody can be told.
        world.go()
        world.wait_for_file(f"{held.id}-1.done")
        world.wait_for_log(worker, "the record of a job cannot be written")
        private_postgres.start()
        done_once(world, held, waiting)
        assert world.job(held).attempt == 1
        assert world.left("began") == {f"{held.id}-1.began", f"{waiting.id}-1.began"}
    said = world.said()
    assert database.password not in said
    assert "Traceback" not in said
    # Once each, and not with every look.
    assert said.count("looking for jobs has failed") <= 3
