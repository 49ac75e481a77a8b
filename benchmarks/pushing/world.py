"""Everything that pushes need: Redis, PostgreSQL, a repo for each server, and the servers."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.progress import Progress
from benchmarks.pushing.contestants import FEAST as FEAST_SERVER
from benchmarks.pushing.contestants import ONE, TWO
from benchmarks.pushing.history import ParquetHistory, PostgresHistory, history
from benchmarks.pushing.repo import FILE, write_push_repo
from benchmarks.repo import FEAST
from benchmarks.server import Server, environment, running
from benchmarks.world import FEAST_FLAGS, FRESHET, without_worker
from tests.servers import PostgresServer, RedisServer
from tests.servers.ports import free_port
from tests.servers.postgres import Database

_READY = {ONE: "/readyz", TWO: "/readyz", FEAST_SERVER: "/health"}
_WORKERS = {ONE: 1, TWO: 2}


@dataclass(frozen=True)
class PushWorld:
    """The servers by name, their offline stores, and the stores' servers."""

    servers: Mapping[str, Server]
    offline: Mapping[str, PostgresHistory | ParquetHistory]
    redis: RedisServer
    postgres: PostgresServer
    folder: Path


@contextlib.contextmanager
def built(
    progress: Progress, *, users: int, wanted: Collection[str], settings: Mapping[str, str]
) -> Iterator[PushWorld]:
    """Start the stores, fill and apply the repos, start the wanted servers; end all of it at the end.

    Freshet's repo has PostgreSQL as its offline store, durable as it comes; Feast's has the Parquet file that Feast's
    own offline store can be pushed to. Both have a row for every user in it. `settings` are FRESHET_ variables.
    """
    folder = Path(tempfile.mkdtemp(prefix="freshet-bench-"))
    try:
        with contextlib.ExitStack() as stack:
            redis = stack.enter_context(RedisServer())
            postgres = stack.enter_context(PostgresServer())
            database = stack.enter_context(postgres.database())
            with progress.task("Writing the history", None):
                table = history(users)
                in_postgres = PostgresHistory(database.url, table)
                in_parquet = ParquetHistory(folder / "feast" / FILE, table)
            _repos(folder, redis, database, progress)
            servers = {name: stack.enter_context(_started(name, folder, settings)) for name in sorted(wanted)}
            with progress.task("Starting the servers", len(servers)) as advance:
                for name, server in servers.items():
                    server.wait_for(_READY[name])
                    advance(1)
            offline: dict[str, PostgresHistory | ParquetHistory] = {
                ONE: in_postgres,
                TWO: in_postgres,
                FEAST_SERVER: in_parquet,
            }
            yield PushWorld(servers, offline, redis, postgres, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _repos(folder: Path, redis: RedisServer, database: Database, progress: Progress) -> None:
    offline: dict[str, dict[str, object]] = {"freshet": database.feast_store, "feast": {"type": "file"}}

    def write(name: str) -> None:
        # Projects of their own: neither finds the other's rows in Redis.
        surroundings = environment(folder / f"apply-{name}")
        write_push_repo(folder / name, f"push_{name}", redis.online_store, offline[name], surroundings)

    with progress.task("feast apply", None), ThreadPoolExecutor() as pool:
        list(pool.map(write, offline))


def _started(name: str, folder: Path, settings: Mapping[str, str]) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    if name == FEAST_SERVER:
        argv: list[str | Path] = [FEAST, "serve", *FEAST_FLAGS, "--port", str(port)]
        return running(name, argv, port, folder=folder, directory=folder / "feast", extra={})
    repo = folder / "freshet"
    argv = [FRESHET, "serve", *without_worker(), "--port", str(port), "--workers", str(_WORKERS[name])]
    extra = {"FRESHET_FEATURE_REPO": str(repo), "FRESHET_DATA_DIR": str(folder / f"{name}-data"), **settings}
    return running(name, argv, port, folder=folder, directory=repo, extra=extra)
