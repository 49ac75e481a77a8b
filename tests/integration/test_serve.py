"""`freshet serve` as a process: signals, several workers, and a stock Feast repo that it learns of while it runs."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import psutil  # type: ignore[import-untyped]
import pytest

from tests.integration.profiles import opened
from tests.integration.server_process import FreshetServer, run_here, serving
from tests.repos.everything import ROW, write_repo
from tests.servers import Postgres, Redis

VECTOR = "/v1/online-features/assistant_v1?user_id=u1"
DRAIN_SECONDS = "4"


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, redis_server: Redis
) -> Iterator[dict[str, str]]:
    """The bundled repo with data, on embedded stores."""
    folder = tmp_path_factory.mktemp("serve")
    with postgres.database() as database, opened("embedded", folder / "data", database, redis_server) as profile:
        yield profile.environment


def requests_served(server: FreshetServer) -> int:
    """How many reads of one entity the metrics know of, over all workers."""
    count = re.compile(r"^freshet_http_request_duration_seconds_count(\{.*\}) (\S+)$", re.MULTILINE)
    found = count.findall(server.get("/metrics").text)
    return sum(
        int(float(value)) for labels, value in found if 'route="/v1/online-features/{feature_service}"' in labels
    )


def read(server: FreshetServer, times: int) -> None:
    for _ in range(times):
        assert server.get(VECTOR).json()["statuses"]["sessions_7d"] == "PRESENT"


def metrics_folders(server: FreshetServer) -> list[str]:
    return [path.name for path in server.temporary.iterdir() if path.name.startswith("freshet")]


def test_sigterm_drains_and_ends_in_good_order(environment: dict[str, str], tmp_path: Path) -> None:
    environment = {**environment, "FRESHET_SHUTDOWN_DELAY": DRAIN_SECONDS}
    with serving("serve", environment=environment, folder=tmp_path) as server:
        assert server.url in server.output()
        read(server, 1)
        assert metrics_folders(server) != []
        with httpx.Client(base_url=server.url) as connected:
            assert connected.get("/readyz").status_code == 200
            server.process.send(signal.SIGTERM)
            server.wait_for("/readyz to say so", lambda: server.answers("/readyz", 503))
            assert server.get("/readyz").json()["checks"]["process"] == "shutting down"
            assert connected.get("/readyz").json()["status"] == "not ready"
            # A load balancer takes its time: until it has noticed, old and new connections are served.
            assert connected.get(VECTOR).status_code == 200
            read(server, 3)
            assert server.get("/livez").status_code == 200
        assert server.process.wait(60) == 0
        assert metrics_folders(server) == []


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshetServer]:
    """A server with two workers, both ready."""
    environment = {**environment, "FRESHET_LOG_FORMAT": "json"}
    with serving("serve", "--workers", "2", environment=environment, folder=tmp_path_factory.mktemp("c")) as server:
        wait_for_workers(server, started=2)
        yield server


def wait_for_workers(server: FreshetServer, started: int) -> None:
    """Until that many workers have started since the beginning, and two of them run."""
    server.wait_for(
        f"worker {started} to start",
        lambda: server.output().count("Application startup complete") >= started and len(server.workers()) == 2,
    )


def served_by(server: FreshetServer, pid: int, times: int) -> None:
    """Read while every other worker stands still. The supervisor would replace one that does so for seconds."""
    others = [worker for worker in server.workers() if worker.pid != pid]
    for worker in others:
        worker.suspend()
    try:
        read(server, times)
    finally:
        for worker in others:
            worker.resume()


def wait_for_count(server: FreshetServer, expected: int) -> None:
    """Until every worker has written down what it served: each does so a few times a second and when it is scraped."""
    server.wait_for(f"{expected} requests to be counted", lambda: requests_served(server) == expected)


def test_workers_share_the_port_and_their_metrics(cluster: FreshetServer) -> None:
    first, second = cluster.workers()
    before = requests_served(cluster)
    served_by(cluster, first.pid, 5)
    served_by(cluster, second.pid, 7)
    wait_for_count(cluster, before + 12)
    assert {requests_served(cluster) for _ in range(10)} == {before + 12}


def test_a_killed_worker_is_replaced_and_its_counts_survive(cluster: FreshetServer) -> None:
    started = cluster.output().count("Application startup complete")
    killed, survivor = cluster.workers()
    before = requests_served(cluster) + 4
    served_by(cluster, killed.pid, 4)
    wait_for_count(cluster, before)
    killed.send_signal(signal.SIGKILL)
    read(cluster, 3)
    wait_for_workers(cluster, started + 1)
    (replacement,) = (worker for worker in cluster.workers() if worker.pid not in (killed.pid, survivor.pid))
    served_by(cluster, replacement.pid, 2)
    wait_for_count(cluster, before + 5)
    assert {requests_served(cluster) for _ in range(10)} == {before + 5}
    assert cluster.get("/readyz").json()["status"] == "ready"


def test_ctrl_c_ends_all_workers(cluster: FreshetServer) -> None:
    family = cluster.process.family()
    assert cluster.stop(signal.SIGINT) in (0, 130)
    assert [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE] == []
    assert metrics_folders(cluster) == []
    lines = [orjson.loads(line) for line in cluster.output().splitlines()]
    assert {"event", "level", "logger", "timestamp"} <= set.intersection(*(set(line) for line in lines))
    assert {line["level"] for line in lines} <= {"info", "warning"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FreshetServer, dict[str, str]]]:
    """A stock repo of somebody else, served before anybody has applied it."""
    folder = tmp_path_factory.mktemp("lab")
    environment = {"FRESHET_FEATURE_REPO": str(write_repo(folder / "repo")), "FRESHET_REGISTRY_REFRESH_INTERVAL": "0.1"}
    with serving("serve", environment=environment, folder=folder) as server:
        yield server, environment


def test_a_stock_repo_is_applied_materialized_and_served(lab: tuple[FreshetServer, dict[str, str]]) -> None:
    server, environment = lab
    refused = server.get("/v1/online-features/all_drivers?driver_id=1001")
    assert (refused.status_code, "freshet apply" in refused.json()["detail"]) == (404, True)
    applied = run_here("apply", environment=environment)
    assert "  + feature service both\n" in applied.stdout, applied.stderr
    server.wait_for("the new plans", lambda: server.answers("/v1/online-features/all_drivers?driver_id=1001"))

    event = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    trips = [
        {"driver_id": driver, "customer_id": customer, "fare": fare, "name": customer, "ts": event}
        for driver, customer, fare in [(1, "23", 1.5), (12, "3", 2.5), (-(2**63), "a b/ü", 3.5)]
    ]
    for source, rows in {"driver_events": [{**ROW, "ts": event}], "trip_events": trips}.items():
        answer = server.post(f"/v1/push/{source}", {"rows": rows, "to": "offline"}).json()
        assert answer["applied"] == len(rows), answer
    both = {
        "feature_service": "both",
        "entities": {"driver_id": [1001, 12, 1, 12, -(2**63)], "customer_id": ["23", "3", "23", "23", "a b/ü"]},
    }
    assert {status for row in post(server, both)["statuses"] for status in row} == {"NOT_FOUND"}

    done = run_here("materialize", environment=environment)
    assert re.search("drivers: 1 rows read, 1 applied.*trips: 3 rows read, 3 applied", done.stdout, re.DOTALL), done
    answer = post(server, both)
    assert answer["features"] == ["drivers:name", "drivers:i64", "trips:name", "trips:fare"]
    assert answer["values"] == [
        ["Ada", 2**53 + 1, None, None],
        [None, None, "3", 2.5],
        [None, None, "23", 1.5],
        [None, None, None, None],
        [None, None, "a b/ü", 3.5],
    ]
    one = server.get("/v1/online-features/all_drivers?driver_id=1001").json()
    assert one["entity"] == {"driver_id": 1001}
    assert one["features"]["counts"] == [1, 2**62]
    assert set(one["statuses"].values()) == {"PRESENT"}
    composite = server.get("/v1/online-features/both?driver_id=12&customer_id=3&full_feature_names=true").json()
    assert composite["entity"] == {"driver_id": 12, "customer_id": "3"}
    assert composite["features"]["trips__fare"] == 2.5


def post(server: FreshetServer, body: object) -> dict[str, Any]:
    response = server.post("/v1/online-features", body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
