"""A worker process for jobs of the tests: python -m tests.faults.job_worker, set up by FRESHET_ variables.

Every job writes into the folder that its request names, and holds a lock there that ends with the process: a second
one at the same job would leave a file `overlap`. What it does is said by `do`:

- `write`: `steps` short steps into a file named after the attempt, which is published by a rename; then a result;
- `hold`: until somebody makes the file `go`;  `die`: kill -9 of its own worker;  `fail`: an error that nobody foresees;
- `stubborn`: on and on, deaf to everything;  `query`: a query of DuckDB that would take hours.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from app.commands import worker
from app.errors import StoreUnavailableError
from app.job import Job, JobCancelled, JobControl
from app.jobs import attempts
from app.jobs.queue import JobQueue
from app.logs import configure_logs
from app.settings import Settings
from app.stores.job_claims import JobClaims

HOURS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3"


class Writing:
    """Implements app.job.JobKind."""

    def run(self, job: Job, control: JobControl) -> Mapping[str, Any]:
        """See the protocol."""
        folder = Path(job.request["folder"])
        (folder / f"{job.id}-{job.attempt}.began").touch()
        with (folder / f"{job.id}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                (folder / "overlap").touch()
            what = getattr(self, f"_{job.request['do']}")
            return {"file": what(job, control, folder).name}

    def forget(self, job: Job) -> None:
        """See the protocol."""
        folder = Path(job.request["folder"])
        for attempt in range(1, job.attempt + 1):
            for end in ("part", "done"):
                (folder / f"{job.id}-{attempt}.{end}").unlink(missing_ok=True)
        if job.state.finished:
            (folder / f"{job.id}.forgotten").touch()

    def _write(self, job: Job, control: JobControl, folder: Path) -> Path:
        steps = int(job.request["steps"])
        part = folder / f"{job.id}-{job.attempt}.part"
        with part.open("w") as out:
            for step in range(steps):
                control.check()
                out.write(f"{step}\n")
                out.flush()
                control.report("writing", step + 1, steps)
                time.sleep(0.01)
        return part.rename(part.with_suffix(".done"))

    def _hold(self, job: Job, control: JobControl, folder: Path) -> Path:
        part = folder / f"{job.id}-{job.attempt}.part"
        part.touch()
        control.report("holding", 1, 2)
        while not (folder / "go").exists():
            if control.cancelled.wait(0.01):
                raise JobCancelled
        return part.rename(part.with_suffix(".done"))

    def _die(self, job: Job, control: JobControl, folder: Path) -> Path:
        os.kill(os.getpid(), signal.SIGKILL)
        return folder

    def _fail(self, job: Job, control: JobControl, folder: Path) -> Path:
        (folder / f"{job.id}-{job.attempt}.part").touch()
        if job.request.get("foreseen"):
            raise StoreUnavailableError("The offline store does not answer")
        raise ZeroDivisionError("at postgresql://user:secret@host")

    def _stubborn(self, job: Job, control: JobControl, folder: Path) -> Path:
        (folder / f"{job.id}-{job.attempt}.part").touch()
        while True:
            time.sleep(1)

    def _query(self, job: Job, control: JobControl, folder: Path) -> Path:
        with duckdb.connect() as connection, control.on_cancel(connection.interrupt):
            control.report("querying")
            connection.execute(HOURS).fetchall()
        return folder


if __name__ == "__main__":
    settings = Settings()
    configure_logs(settings.log_format)
    # What happens at a moment that nobody else can hit.
    if "dies-before-enqueueing" in sys.argv:
        JobQueue.enqueue = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    if "dies-before-claiming" in sys.argv:
        JobClaims.claim = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    if "patient" in sys.argv:
        attempts._MOST_LOSSES = 1_000
    worker.run(settings, lambda: {"writing": Writing()})
