"""The servers that other tests rely on: where they come from, what they survive, and that nothing of them is left."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
import redis

from tests.integration.remains import alive, nothing_left
from tests.servers import (
    Database,
    NoServerError,
    Postgres,
    PostgresBinaries,
    PostgresServer,
    Redis,
    RedisBinary,
    RedisServer,
    ServerError,
    find_postgres,
    find_redis,
    local,
    postgres_for_tests,
    redis_for_tests,
)
from tests.servers.binaries import Origin
from tests.servers.ports import free_port

ORIGINS = pytest.mark.parametrize("origin", ["system", "wheel"])


def query(url: str, statement: str, timeout: int = 5) -> Any:
    with psycopg.connect(url, autocommit=True, connect_timeout=timeout) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def has_or_skip(find: Callable[[Origin], PostgresBinaries | RedisBinary], origin: Origin) -> Any:
    """The wheels are development dependencies and must be there; what the system has is its own affair."""
    try:
        return find(origin)
    except NoServerError as error:
        if origin == "wheel":
            raise
        pytest.skip(f"the system has no such programs, only the wheel's were tried: {error}")


@ORIGINS
def test_postgres_of_each_origin_keeps_data_and_leaves_nothing(origin: Origin) -> None:
    binaries = has_or_skip(find_postgres, origin)
    with PostgresServer(binaries, durable=False, settings={"work_mem": "7MB"}) as server:
        assert server.description == f"PostgreSQL {binaries.version} from {binaries.folder}"
        assert query(server.url(), "SHOW server_version").startswith(binaries.version)
        assert query(server.url(), "SHOW work_mem") == "7MB"
        assert query(server.url(), "SHOW timezone") == "UTC"
        assert psutil.Process(server.pid).uids().effective != 0
        database = server.create_database("kept")
        query(database.url, "CREATE TABLE t AS SELECT 1 AS n")

        port, pid = server.port, server.pid
        server.restart()
        assert server.port == port
        assert server.pid != pid
        assert query(database.url, "SELECT n FROM t") == 1

        query(database.url, "INSERT INTO t VALUES (2)")
        server.kill()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            query(database.url, "SELECT 1")
        server.start()
        assert server.port == port
        assert query(database.url, "SELECT sum(n) FROM t") == 3
        with nothing_left(server), closing(psycopg.connect(server.url())):
            server.__exit__(None, None, None)


def test_a_paused_postgres_makes_its_clients_wait(private_postgres: PostgresServer) -> None:
    server = private_postgres
    with psycopg.connect(server.url(), autocommit=True) as connection:
        with server.paused():
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                query(server.url(), "SELECT 1", timeout=2)
            statuses = {member.status() for member in server.process.family()}
            assert statuses == {psutil.STATUS_STOPPED}
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.pause()
    server.stop()
    assert not server.running


@ORIGINS
def test_redis_of_each_origin_starts_again_and_leaves_nothing(origin: Origin) -> None:
    binary = has_or_skip(find_redis, origin)
    with RedisServer(binary, appendonly=True, password="a/b@c", options=["--maxmemory-policy", "noeviction"]) as server:
        assert server.description == f"Redis {binary.version} from {binary.program}"
        with server.client() as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            client.set("kept", "1")
        without = f"redis://{server.host}:{server.port}/0"
        with redis.Redis.from_url(without) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        port, pid = server.port, server.pid
        server.kill()
        with server.client() as client, pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert server.port == port
        assert server.pid != pid
        server.restart()
        with server.client() as client:
            assert client.get("kept") == b"1"
        with nothing_left(server):
            server.__exit__(None, None, None)


def test_a_paused_redis_makes_its_clients_wait(private_redis: RedisServer) -> None:
    with private_redis.client(timeout=0.3) as client:
        client.set("k", "1")
        with private_redis.paused(), pytest.raises(redis.TimeoutError):
            client.get("k")
        assert client.get("k") == b"1"


def test_no_server_runs_as_root(private_redis: RedisServer, private_postgres: PostgresServer) -> None:
    for server in (private_redis, private_postgres):
        assert all(member.uids().effective != 0 for member in server.process.family())


@pytest.mark.parametrize("server", [PostgresServer, RedisServer])
def test_a_port_that_is_taken_meanwhile_is_left_to_its_owner(
    server: type[PostgresServer | RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as owner:
        taken: int = owner.getsockname()[1]
        ports = iter([taken])
        monkeypatch.setattr(local, "free_port", lambda: next(ports, None) or free_port())
        with server() as started:
            assert started.port != taken
            assert started.running


def test_a_server_that_fails_to_start_shows_its_log() -> None:
    with (
        pytest.raises(ServerError, match="unrecognized configuration parameter"),
        PostgresServer(settings={"nope": "1"}),
    ):
        pass


OWNER = """
import json, os, sys
from tests.servers import PostgresServer, RedisServer
with PostgresServer(durable=False) as postgres, RedisServer() as redis:
    servers = [postgres, redis]
    pids = [member.pid for server in servers for member in server.process.family()]
    if sys.argv[1] == "paused":
        postgres.pause()
        redis.pause()
    print(json.dumps({"pids": pids, "folders": [str(server.workspace) for server in servers]}), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("number", "state"),
    [(signal.SIGINT, "running"), (signal.SIGTERM, "running"), (signal.SIGKILL, "paused")],
)
def test_a_session_that_dies_takes_its_servers_along(
    number: signal.Signals, state: Literal["running", "paused"], postgres: Postgres
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_TEST_")}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, state],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with owner:
        assert owner.stdout is not None
        started = json.loads(owner.stdout.readline())
        members = [psutil.Process(pid) for pid in started["pids"]]
        assert len(members) > 4
        owner.send_signal(number)
        owner.communicate(timeout=60)  # until nobody holds its stderr any more: the guardians have ended, too
    assert [member for member in members if alive(member)] == []
    assert [folder for folder in started["folders"] if Path(folder).exists()] == []


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root starts servers as somebody else, who may not reach the programs"
)
def test_programs_that_the_servers_account_cannot_reach_are_copied(tmp_path: Path) -> None:
    found, closed = find_postgres("wheel"), tmp_path / "root-only"
    closed.mkdir(mode=0o700)
    package = found.folder.parents[1]
    shutil.copytree(package / "pginstall", closed / package.name / "pginstall")
    shutil.copytree(package.with_name(package.name + ".libs"), closed / (package.name + ".libs"))
    shutil.copy2(find_redis("wheel").program, closed)
    binaries = PostgresBinaries(closed / package.name / "pginstall" / "bin", found.version, "wheel")
    with PostgresServer(binaries, durable=False) as server:
        assert query(server.url(), "SELECT 1") == 1
    with RedisServer(RedisBinary(closed / "redis-server", "6.2", "wheel")) as redis_server:
        redis_server.flush()


def test_a_given_postgres_is_used_for_databases_of_our_own(
    private_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_TEST_POSTGRES_URL", private_postgres.url())
    with postgres_for_tests() as given:
        assert given.description.endswith(f"at 127.0.0.1:{private_postgres.port} (FRESHET_TEST_POSTGRES_URL)")
        assert private_postgres.password not in given.description
        with given.database() as database, closing(psycopg.connect(database.url)):
            assert query(database.url, "SELECT current_database()") == database.name
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            query(database.url, "SELECT 1")
    monkeypatch.setenv("FRESHET_TEST_POSTGRES_URL", private_postgres.url().replace(private_postgres.password, "wrong"))
    with pytest.raises(NoServerError, match="FRESHET_TEST_POSTGRES_URL"), postgres_for_tests():
        pass


def test_a_given_redis_is_used_only_if_it_is_empty(private_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("FRESHET_TEST_REDIS_URL", private_redis.url.replace("/0", "/3"))
    with redis_for_tests() as given:
        assert given.connection_string == f"127.0.0.1:{private_redis.port},db=3"
        with given.client() as client, private_redis.client() as other:
            client.set("ours", "1")
            other.set("theirs", "1")
    with private_redis.client() as other:
        assert other.info("keyspace").keys() == {"db0"}  # type: ignore[union-attr]
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("FRESHET_TEST_REDIS_URL", private_redis.url)
    with pytest.raises(NoServerError, match="holds 1 keys"), redis_for_tests():
        pass
    with private_redis.client() as other:
        assert other.get("theirs") == b"1"


def test_a_given_redis_is_not_shared_by_tests_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setenv("FRESHET_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
    with pytest.raises(NoServerError, match="AT_ONCE=0"), redis_for_tests():
        pass


def test_each_test_gets_a_database_of_its_own(postgres: Postgres, postgres_database: Database) -> None:
    assert query(postgres_database.url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    with postgres.database() as other:
        assert other.name != postgres_database.name


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_an_empty_redis(
    attempt: int, redis_url: str, redis_connection_string: str, redis_server: Redis
) -> None:
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("k", attempt)
    assert redis_connection_string.split(",")[0] in redis_url


def test_no_server_at_all_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.servers.binaries._postgres_folders", lambda: iter([("system", Path("/nowhere"))]))
    monkeypatch.setattr("tests.servers.binaries._redis_programs", lambda: iter(()))
    with pytest.raises(NoServerError, match=r"/nowhere.*FRESHET_TEST_POSTGRES_URL"):
        find_postgres.__wrapped__()
    with pytest.raises(NoServerError, match=r"PATH.*FRESHET_TEST_REDIS_URL"):
        find_redis.__wrapped__()


def test_the_environment_holds_no_settings_of_the_developer() -> None:
    leaked = [name for name in os.environ if name.startswith("FRESHET_") and not name.startswith("FRESHET_TEST_")]
    assert leaked == []
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == os.environ["PROMETHEUS_MULTIPROCESS_DIR"]
    assert Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).is_dir()
