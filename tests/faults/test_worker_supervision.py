"""The worker beside `freshet serve`: there is one, it comes back when it dies, and it does not outlive the server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from app.job import JobState
from app.settings import Settings
from app.stores.jobs import JobRecords
from app.stores.metadata import MetadataStore
from tests.integration.server_process import FRESHET, FreshetServer, background_workers, run, serving
from tests.repos.everything import write_repo
from tests.servers.waiting import wait_until


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A stock repo that nobody has applied; its jobs are over SQLite."""
    return {"FRESHET_FEATURE_REPO": str(write_repo(tmp_path / "repo")), "FRESHET_DATA_DIR": str(tmp_path / "data")}


@contextlib.contextmanager
def opened(environment: dict[str, str], project: str = "everything") -> Iterator[JobRecords]:
    """The records of the jobs of a server."""
    metadata = MetadataStore(Settings(data_dir=Path(environment["FRESHET_DATA_DIR"])))
    metadata.upgrade()
    yield JobRecords(metadata, project)
    metadata.close()


def the_worker(server: FreshetServer, after: int | None = None) -> Any:
    """The one worker of a server, once it looks for jobs; another one than that with the pid `after`."""
    times = 1 if after is None else 2
    server.wait_for("a worker", lambda: server.output().count("worker started") >= times)
    (found,) = background_workers(server.process.family()[0])
    assert found.pid != after
    return found


@pytest.mark.full  # servers have to start, and to end
@pytest.mark.parametrize(("processes", "end"), [("1", signal.SIGTERM), ("2", signal.SIGINT)])
def test_a_server_has_one_worker_which_comes_back(
    environment: dict[str, str], tmp_path: Path, project: str, processes: str, end: signal.Signals
) -> None:
    arguments = ("serve", "--workers", processes)
    with serving(*arguments, environment=environment, folder=tmp_path, worker=True) as server:
        first = the_worker(server)
        assert first.nice() > psutil.Process(server.process.pid).nice()
        assert Path(f"/proc/{first.pid}/oom_score_adj").read_text().strip() == "500"
        first.send_signal(signal.SIGKILL)
        second = the_worker(server, after=first.pid)
        assert "the worker has ended, and is started again" in server.output()
        assert server.get("/readyz").status_code == 200
        with opened(environment, project) as records:
            job = records.create("of no kind", {}, datetime.now(UTC))
            ended = [JobState.FAILED]
            wait_until("the job to end", lambda: [found.state for found in records.list()] == ended)
            fault = records.list()[0].fault
            assert fault is not None
            assert "of no kind" in fault.detail
            assert records.list()[0].id == job.id
        shown = 'freshet_jobs{kind="of no kind",state="failed"} 1.0'
        server.wait_for("the metric", lambda: shown in server.get("/metrics").text)
        counted = f'freshet_jobs_ended_total{{kind="of no kind",project="{project}",state="failed"}} 1.0'
        assert counted in server.get("/metrics").text
        assert server.stop(end) in (0, 130)
        assert not second.is_running()
        assert "worker stopped" in server.output()
        assert server.output().count("started again") == 1


@pytest.fixture
def project(environment: dict[str, str]) -> str:
    """The project of the repo."""
    from app.stores.feature_store_yaml import project_of

    return project_of(Settings(feature_repo=Path(environment["FRESHET_FEATURE_REPO"])))


def test_a_worker_does_not_outlive_a_server_that_is_killed(environment: dict[str, str], tmp_path: Path) -> None:
    # Without the guardian of other tests, which would end what is left.
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [FRESHET, "serve", "--port", "0"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **environment},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    left: list[Any] = []
    try:
        wait_until("a worker", lambda: "worker started" in (tmp_path / "log").read_text())
        left = background_workers(psutil.Process(server.pid))
        assert len(left) == 1
        server.kill()
        server.wait(10)
        began = time.monotonic()
        wait_until("the worker to end", lambda: not alive(left[0]), 10)
        assert time.monotonic() - began < 5
        assert "worker stopped" in (tmp_path / "log").read_text()
    finally:
        server.kill()
        server.wait(10)
        for worker in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()


def alive(process: Any) -> bool:
    """Whether it runs; whoever inherited a dead one may not have looked at it yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def test_an_api_only_replica_has_none(environment: dict[str, str], tmp_path: Path) -> None:
    with serving("serve", environment=environment, folder=tmp_path) as server:
        assert background_workers(server.process.family()[0]) == []


def test_a_worker_says_in_one_line_what_it_cannot_work_with(tmp_path: Path) -> None:
    done = run("worker", environment={"FRESHET_FEATURE_REPO": str(tmp_path / "nowhere")}, folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "set FRESHET_FEATURE_REPO" in done.stderr
