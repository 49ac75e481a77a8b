"""Everything that a run needs: stores with data, and the servers over them, in a folder that goes with it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contestants import relay_plans
from benchmarks.dataset import ACCOUNT, USER, Dataset
from benchmarks.progress import Progress
from benchmarks.repo import FEAST, load, write_repo
from benchmarks.server import Server, cpu_seconds, environment, running
from tests.servers import RedisServer
from tests.servers.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
FRESHET = Path(sys.executable).with_name("freshet")
FEAST_FLAGS = ["--max-requests", "0", "--no-access-log"]
"""Without them its worker restarts after 1,000 requests and writes a line for each."""


@dataclass(frozen=True)
class World:
    """The servers by (contestant's server, store), and what the stores hold."""

    dataset: Dataset
    servers: dict[tuple[str, str], Server]
    redis: RedisServer
    folder: Path

    def redis_cpu_seconds(self) -> float:
        """CPU time of Redis since it started."""
        return cpu_seconds(self.redis.process.family())


@contextlib.contextmanager
def built(
    progress: Progress,
    *,
    users: int,
    accounts: int,
    wanted: Collection[tuple[str, str]],
    settings: dict[str, str] | None = None,
    relay_wait: str = "async",
    profiled: bool = False,
) -> Iterator[World]:
    """Start Redis, apply and fill the repos, start the wanted (server, store) pairs; end all of it at the end.

    `settings` are FRESHET_ variables for Freshet beyond its defaults; `profiled` counts its calls into calls.pstats.
    """
    folder = Path(tempfile.mkdtemp(prefix="freshet-bench-"))
    try:
        with contextlib.ExitStack() as stack:
            redis = stack.enter_context(RedisServer())
            dataset = Dataset(users, accounts, datetime.now(UTC).replace(microsecond=0))
            repos = _repos(folder, {store for _, store in wanted}, redis, dataset, progress)
            plans = folder / "plans.json"
            plans.write_text(json.dumps(relay_plans([USER, ACCOUNT])), encoding="utf-8")
            servers = {}
            for server, store in sorted(wanted):
                argv, extra = _command(server, repos[store], redis, plans, relay_wait)
                if profiled:
                    argv = [sys.executable, "-m", "benchmarks.profiled", folder / "calls.pstats", *argv[1:]]
                    extra["PYTHONPATH"] = str(ROOT)
                port = free_port()
                servers[server, store] = stack.enter_context(
                    running(
                        f"{server}-{store}",
                        [*argv, "--port", str(port)],
                        port,
                        folder=folder,
                        directory=ROOT if server == "relay" else repos[store],
                        extra={**extra, **(settings or {} if server == "freshet" else {})},
                    )
                )
            with progress.task("Starting the servers", len(servers)) as advance:
                for (server, _), started in servers.items():
                    started.wait_for({"freshet": "/readyz", "feast": "/health", "relay": "/"}[server])
                    advance(1)
            yield World(dataset, servers, redis, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_SERVICES = {"redis": [USER, ACCOUNT], "sqlite": [USER]}


def _repos(folder: Path, stores: set[str], redis: RedisServer, dataset: Dataset, progress: Progress) -> dict[str, Path]:
    """A repo over each store, applied and filled. Feast takes seconds to be imported, so they are applied at once."""
    online: dict[str, dict[str, object]] = {
        "redis": {"type": "redis", "connection_string": redis.connection_string},
        "sqlite": {"type": "sqlite", "path": "data/online.db"},
    }

    def apply(store: str) -> Path:
        return write_repo(folder / f"repo-{store}", online[store], environment(folder / f"apply-{store}"))

    names = sorted(stores)
    with progress.task("feast apply", None), ThreadPoolExecutor() as pool:
        repos = dict(zip(names, pool.map(apply, names), strict=True))
    for store, repo in repos.items():
        rows = sum(dataset.count(service) * len(service.views) for service in _SERVICES[store])
        with progress.task(f"Stock Feast writes rows to {store}", rows) as advance:
            load(repo, dataset, _SERVICES[store], advance)
    return repos


def _command(
    server: str, repo: Path, redis: RedisServer, plans: Path, relay_wait: str
) -> tuple[list[str | Path], dict[str, str]]:
    if server == "freshet":
        argv: list[str | Path] = [FRESHET, "serve", *without_worker()]
        return argv, {"FRESHET_FEATURE_REPO": str(repo), "FRESHET_DATA_DIR": str(repo / "freshet")}
    if server == "feast":
        return [FEAST, "serve", *FEAST_FLAGS], {}
    argv = [sys.executable, "-m", "benchmarks.relay", "--redis-port", str(redis.port), "--plans", plans]
    return [*argv, "--wait", relay_wait], {}


def without_worker() -> list[str]:
    """The supervised worker for jobs is another process with other work: left out where there is one to leave out."""
    helps = subprocess.run([FRESHET, "serve", "--help"], capture_output=True, text=True, timeout=60, check=True)
    return ["--no-worker"] if "--no-worker" in helps.stdout else []
