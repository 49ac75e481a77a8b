"""Fixtures for every test, and an environment in which a developer's own settings count for nothing."""

# ruff: noqa: E402 - the environment comes before the imports that read it

import atexit
import os
import shutil
import tempfile

# Before any other import: prometheus_client reads these when it is imported, and `import feast` would set them itself.
_METRICS_FOLDER = tempfile.mkdtemp(prefix="freshet-test-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _METRICS_FOLDER
os.environ["PROMETHEUS_MULTIPROCESS_DIR"] = _METRICS_FOLDER
_OWNER = os.getpid()


@atexit.register
def _remove_metrics_folder() -> None:
    if os.getpid() == _OWNER:  # a forked child must not take its parent's away
        shutil.rmtree(_METRICS_FOLDER, ignore_errors=True)


# Settings of Freshet and Feast, of libpq, and what the bundled feature_store*.yaml files interpolate.
for _name in list(os.environ):
    if _name.startswith(("FRESHET_", "FEAST_", "PG", "POSTGRES_", "REDIS_")) and not _name.startswith("FRESHET_TEST_"):
        del os.environ[_name]

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from app.settings import Settings
from tests.held_up import RERUNS, HeldUp
from tests.servers import (
    Database,
    NoServerError,
    Postgres,
    PostgresServer,
    Redis,
    RedisServer,
    announce_postgres,
    announce_redis,
    find_prometheus,
    postgres_for_tests,
    redis_for_tests,
)

# A developer's .env counts for nothing, too.
Settings.model_config["env_file"] = None

# A busy machine is slow, and the first text that a fresh checkout draws takes seconds: neither is a fault of a test.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_SERVERS_USED = pytest.StashKey[list[str]]()
_HELD_UP = HeldUp()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SERVERS_USED] = []


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process runs a share of the tests for another one (pytest-xdist)."""
    return hasattr(config, "workeroutput")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _is_worker(session.config):
        session.config.workeroutput["said"] = (session.config.stash[_SERVERS_USED], _HELD_UP.reports)  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist's: a worker has ended, or was killed and says nothing."""
    servers, reports = getattr(node, "workeroutput", {}).get("said", ([], []))
    node.config.stash[_SERVERS_USED] += [server for server in servers if server not in node.config.stash[_SERVERS_USED]]
    _HELD_UP.reports += reports


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=RERUNS, condition=_HELD_UP))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _HELD_UP.begin(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    outcome: str = report.outcome
    elsewhere = hasattr(report, "node")  # a worker's, who notes it itself
    if outcome == "rerun" and not elsewhere:  # pytest-rerunfailures' own
        _HELD_UP.note()


def pytest_report_header() -> list[str]:
    return [f"servers: {announce_postgres()}", f"servers: {announce_redis()}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_SERVERS_USED]:
        terminalreporter.write_line(f"ran against {line}")
    for line in _HELD_UP.reports:
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """The session's PostgreSQL. Don't stop it; `private_postgres` is for that."""
    with postgres_for_tests() as server:
        pytestconfig.stash[_SERVERS_USED].append(server.description)
        yield server


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[Database]:
    """A fresh, empty database, dropped after the test."""
    with postgres.database() as database:
        yield database


@pytest.fixture
def private_postgres() -> Iterator[PostgresServer]:
    """A server for this test alone, which may pause, kill and restart it."""
    with PostgresServer(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[Redis]:
    """The session's Redis. Don't stop it; `private_redis` is for that."""
    with redis_for_tests() as server:
        pytestconfig.stash[_SERVERS_USED].append(server.description)
        yield server


@pytest.fixture
def empty_redis(redis_server: Redis) -> Iterator[Redis]:
    """The session's Redis, without any key before and after the test."""
    redis_server.flush()
    yield redis_server
    redis_server.flush()


@pytest.fixture
def redis_url(empty_redis: Redis) -> str:
    """redis://... of a database without any key."""
    return empty_redis.url


@pytest.fixture
def redis_connection_string(empty_redis: Redis) -> str:
    """The same database as `redis_url`, in Feast's form: host:port,db=0."""
    return empty_redis.connection_string


@pytest.fixture(scope="session")
def promtool(pytestconfig: pytest.Config) -> Path | None:
    """The program that checks and tests rules; None where it is not installed, and then the summary says so."""
    used = pytestconfig.stash[_SERVERS_USED]
    try:
        found = find_prometheus()
    except NoServerError as error:
        used.append(f"no promtool: rules were parsed by promql-parser and not run through their tests ({error})")
        return None
    used.append(found.description)
    return found.promtool


@pytest.fixture
def private_redis() -> Iterator[RedisServer]:
    """A server for this test alone, which may pause, kill and restart it. A restart empties it."""
    with RedisServer() as server:
        yield server
