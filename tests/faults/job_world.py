"""Jobs, and real worker processes over a metadata database of their own."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from app.job import Job, JobState
from app.settings import PROJECT_ROOT, Settings
from app.stores.jobs import JobRecords
from app.stores.metadata import MetadataStore
from tests.servers.process import GuardedProcess
from tests.servers.waiting import wait_until

BEAT = 0.2
"""Seconds between heartbeats: a dead worker is found out a second after its last one."""
SECONDS = 60.0

_numbers = itertools.count(1)


@dataclass
class JobWorld:
    """A metadata database, and the files of its jobs."""

    folder: Path
    environment: dict[str, str]
    metadata: MetadataStore
    records: JobRecords
    workers: list[GuardedProcess] = field(default_factory=list)

    def order(self, do: str, **request: object) -> Job:
        """A job that does this."""
        return self.records.create("writing", {"folder": str(self.files), "do": do, **request}, datetime.now(UTC))

    def job(self, job: Job) -> Job:
        """The job as it is now."""
        found = self.records.get(job.id)
        assert found is not None
        return found

    @property
    def files(self) -> Path:
        """Where jobs write."""
        return self.folder / "files"

    def left(self, *ends: str) -> set[str]:
        """Files of jobs, by their last part."""
        return {path.name for path in self.files.iterdir() if path.suffix.removeprefix(".") in ends}

    def start(self, *arguments: str) -> GuardedProcess:
        """Another worker; it has not begun to look yet."""
        process = GuardedProcess(
            [sys.executable, "-m", "tests.faults.job_worker", *arguments],
            log=self.folder / f"worker-{next(_numbers)}.log",
            environment={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **self.environment},
            directory=PROJECT_ROOT,
        )
        self.workers.append(process)
        return process

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[GuardedProcess]:
        """Another worker, ready; it is stopped in good order at the end if it still runs."""
        process = self.start(*arguments)
        self.wait_for_log(process, "worker started")
        yield process
        if process.running:
            assert process.stop() == 0, process.output()

    def wait_for_log(self, process: GuardedProcess, text: str) -> None:
        """Until a worker has said this."""
        wait_until(text, lambda: text in process.output(), SECONDS)

    def wait_for(self, job: Job, state: JobState, attempt: int | None = None, seconds: float = SECONDS) -> Job:
        """The job, once it is in this state, in this attempt."""

        def there() -> bool:
            now = self.job(job)
            assert now.state is state or not now.state.finished, (now, self.said())
            return now.state is state and attempt in (None, now.attempt)

        wait_until(f"{job.id} to be {state}", there, seconds)
        return self.job(job)

    def wait_for_file(self, name: str) -> None:
        """Until a job has made this file."""
        wait_until(name, (self.files / name).exists, SECONDS)

    def go(self) -> None:
        """Let the jobs that are held end."""
        (self.files / "go").touch()

    def said(self) -> str:
        """What all workers have said."""
        return "\n".join(worker.output() for worker in self.workers)

    def kill(self, process: GuardedProcess) -> None:
        """kill -9."""
        process.send(signal.SIGKILL)
        assert process.wait(10) is not None


@contextmanager
def created(folder: Path, database_url: str | None = None) -> Iterator[JobWorld]:
    """A world over SQLite, or over the PostgreSQL database that is given. Every worker has ended at its end."""
    environment = {"FRESHET_DATA_DIR": str(folder / "data"), "FRESHET_JOB_HEARTBEAT": str(BEAT)}
    if database_url is not None:
        environment["FRESHET_DATABASE_URL"] = database_url
    settings = Settings(data_dir=folder / "data", database_url=database_url)
    metadata = MetadataStore(settings)
    metadata.upgrade()
    world = JobWorld(folder, environment, metadata, JobRecords(metadata, "freshet"))
    world.files.mkdir(parents=True)
    try:
        yield world
        assert not (world.files / "overlap").exists(), "two workers were at one job at once"
    finally:
        for worker in world.workers:
            worker.kill()
        metadata.close()
