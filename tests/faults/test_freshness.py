"""Freshness over several processes, and over their deaths: one probes, all show the same, nothing gets stuck."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.server_process import FRESHET, FreshetServer, background_workers, base, run_here, serving
from tests.repos.clicks import write_repo, write_rows
from tests.servers.process import GuardedProcess
from tests.servers.waiting import wait_until

SECONDS = 0.5
"""Between probes; a lease ends three of these after its holder died."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A repo with a row in `clicks`."""
    folder = write_repo(tmp_path / "repo")
    write_rows(folder, "clicks", datetime.now(UTC) - timedelta(minutes=10))
    environment = {
        "FRESHET_FEATURE_REPO": str(folder),
        "FRESHET_DATA_DIR": str(tmp_path / "data"),
        "FRESHET_FRESHNESS_INTERVAL": str(SECONDS),
    }
    for command in ("apply", "materialize"):
        assert run_here(command, environment=environment).returncode == 0
    return environment


def lease(environment: dict[str, str]) -> tuple[str, int]:
    """Who holds the lease, and with which rank."""
    path = Path(environment["FRESHET_DATA_DIR"]) / "freshet.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT holder, rank FROM leases WHERE name = 'freshness'").fetchone()
    return found or ("", -1)


def probed_at(server: FreshetServer) -> str:
    """When the last probe was, as a server shows it."""
    return str(server.get("/v1/freshness").json()["probed_at"] or "")


def constant(server: FreshetServer) -> set[str]:
    """The series of freshness whose value no probe changes, as one scrape shows them."""
    names = r"freshet_feature_view_(newest_event|status|sla_seconds|sampled_entities|info|last_write)"
    return {line for line in server.get("/metrics").text.splitlines() if re.match(names, line)}


@pytest.mark.full  # servers have to start
def test_all_workers_of_a_server_show_the_same_and_a_killed_one_leaves_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with serving("serve", "--workers", "2", environment=environment, folder=tmp_path) as server:
        for worker in server.workers():
            server.wait_for("a fresh view", lambda: 'clicks",project="lab",status="fresh"' in str(constant(server)))
            # Connections go to either: as many as make it certain that both have answered.
            shown = [frozenset(constant(server)) for _ in range(24)]
            assert len(set(shown)) == 1
            (series,) = set(shown)
            assert sum("freshet_feature_view_status{" in line for line in series) == 3
            worker.send_signal(signal.SIGKILL)
            worker.wait(30)
            before = probed_at(server)
            server.wait_for("another probe", lambda before=before: probed_at(server) > before)  # type: ignore[misc]
        assert frozenset(constant(server)) == series


@pytest.mark.full  # servers have to start
def test_the_worker_probes_and_servers_take_over_from_the_dead(environment: dict[str, str], tmp_path: Path) -> None:
    with (
        serving("serve", environment=environment, folder=tmp_path / "one", worker=True) as one,
        serving("serve", environment=environment, folder=tmp_path / "two") as two,
    ):
        one.wait_for("the worker to probe", lambda: lease(environment)[1] == 1)
        (worker,) = background_workers(one.process.family()[0])
        first, _ = lease(environment)
        worker.send_signal(signal.SIGKILL)
        one.wait_for("another holder", lambda: lease(environment)[0] != first)
        one.wait_for("the next worker to probe", lambda: lease(environment)[1] == 1)
        seen = probed_at(two)
        two.wait_for("both to show it", lambda: seen < probed_at(two) <= probed_at(one))

        one.process.kill()  # with its worker

        two.wait_for("a server to take over", lambda: lease(environment)[1] == 0)
        seen = probed_at(two)
        two.wait_for("it to probe", lambda: probed_at(two) > seen)
        two.stop(signal.SIGTERM)
    path = Path(environment["FRESHET_DATA_DIR"]) / "freshet.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        ((ends,),) = database.execute("SELECT ends_at FROM leases WHERE name = 'freshness'").fetchall()
    assert ends.startswith("1970-01-01")  # given back


def test_a_worker_probes_without_any_server_and_stops_in_time(environment: dict[str, str], tmp_path: Path) -> None:
    process = GuardedProcess(
        [FRESHET, "worker"],
        log=tmp_path / "worker.log",
        environment={**base(tmp_path), **environment},
        directory=tmp_path,
    )
    try:
        wait_until("the worker to probe", lambda: lease(environment)[1] == 1)
        process.send(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
    assert "Traceback" not in process.output()
