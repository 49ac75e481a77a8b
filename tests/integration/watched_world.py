"""A server over the repo of watched views, callers and pushers, and a Prometheus with the real rules that asks it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import yaml

from tests.integration.server_process import FreshetServer, run_here, serving
from tests.monitoring_files import MONITORING
from tests.repos.watched import write_watched_repo
from tests.servers import PrometheusServer, Redis
from tests.servers.waiting import wait_until

_TARGETS = "targets.json"
_SHORT = {"15s": "1s", "1m": "2s", "2m": "3s"}
"""How long alerts wait here, by how long they wait. Those that wait longer have no time to fire."""


class WatchedWorld:
    """The repo, applied; servers over it come and go, and Prometheus asks the one that is there."""

    def __init__(self, folder: Path, redis: Redis, prometheus: PrometheusServer) -> None:
        self.prometheus = prometheus
        self._folder = folder
        self._environment = {
            "FRESHET_FEATURE_REPO": str(folder / "repo"),
            "FRESHET_DATA_DIR": str(folder / "data"),
            "FRESHET_ONLINE_TIMEOUT": "5",  # a busy machine may take its time
            "FRESHET_FRESHNESS_INTERVAL": "0.5",
            "FRESHET_SKEW_INTERVAL": "1",
        }
        write_watched_repo(folder / "repo", redis)
        done = run_here("apply", environment=self._environment)
        assert done.returncode == 0, done

    @contextmanager
    def serving(self) -> Iterator[FreshetServer]:
        """`freshet serve` with its worker, which Prometheus is told of."""
        with serving("serve", environment=self._environment, folder=self._folder, worker=True) as server:
            self.prometheus.write(_TARGETS, json.dumps([{"targets": [server.url.removeprefix("http://")]}]))
            yield server

    def forget_targets(self) -> None:
        """Let nobody be there whom Prometheus could ask."""
        self.prometheus.write(_TARGETS, "[]")

    def firing(self) -> set[tuple[str, str]]:
        """The names of the alerts that fire, each with its view."""
        return {(labels["alertname"], labels.get("feature_view", "")) for labels in self.prometheus.alerts()}

    def wait_for(self, alert: str, view: str = "", *, firing: bool = True, seconds: float = 60.0) -> None:
        """Wait until the alert fires, or is silent."""
        what = f"{alert} of {view or 'nobody'} {'to fire' if firing else 'to be silent'}"
        wait_until(what, lambda: ((alert, view) in self.firing()) is firing, seconds)


@contextmanager
def watched(folder: Path, redis: Redis) -> Iterator[WatchedWorld]:
    """The world, without a server yet."""
    with PrometheusServer({**_rules(), "prometheus.yml": _configuration(), _TARGETS: "[]"}) as prometheus:
        yield WatchedWorld(folder, redis, prometheus)


def _configuration() -> str:
    """The real one, with a server that comes and goes, and asked and evaluated every second."""
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (job,) = configuration["scrape_configs"]
    del job["static_configs"]
    job["file_sd_configs"] = [{"files": [_TARGETS], "refresh_interval": "1s"}]
    return yaml.safe_dump(configuration)


def _rules() -> dict[str, str]:
    """The real ones, with alerts that wait for seconds."""
    texts = {f"rules/{file.name}": file.read_text(encoding="utf-8") for file in (MONITORING / "rules").glob("*.yml")}
    return {
        name: re.sub(r"(?<=^        for: )\w+", lambda found: _SHORT.get(found[0], found[0]), text, flags=re.M)
        for name, text in texts.items()
    }


class Traffic:
    """Pushes to a server and reads, several a second, until it is closed. `clicking`: whether `clicks` is pushed to."""

    def __init__(self, server: FreshetServer) -> None:
        self._server = server
        self.clicking = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Traffic:
        self.clicking.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._closed.wait(0.3):
            # The server may be killed meanwhile.
            with suppress(httpx.TransportError):
                for view in ["clicks"] * self.clicking.is_set() + ["notes"]:
                    push(self._server, view)
                read(self._server)


def push(server: FreshetServer, view: str, *, ago: timedelta = timedelta()) -> None:
    """One good row and one that is rejected."""
    row = {"user_id": 1, "ts": (datetime.now(UTC) - ago).isoformat(), f"{view}_value": 7}
    answer = server.post(f"/v1/push/{view}_events", {"rows": [row, {**row, "user_id": None}]}, timeout=30)
    assert answer.json()["rejected"] == 1, answer.text


def read(server: FreshetServer) -> None:
    """Of one entity that is known, of one that is not, and of a feature service that is not."""
    answer = server.post("/v1/online-features", {"feature_service": "watched_v1", "entities": {"user_id": [1, 2]}}, 30)
    assert answer.status_code == 200, answer.text
    assert server.get("/v1/online-features/nobody?user_id=1", timeout=30).status_code == 404
