"""Load: requests over 8 keep-alive connections as fast as the server answers, from wrk or from Python."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import client
from benchmarks.contestants import Request
from tests.servers.ports import HOST

CONNECTIONS = 8
Generator = Literal["wrk", "python"]
_LUA = Path(__file__).with_name("wrk.lua")
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Load:
    """What came of a stretch of load. Latencies are seconds; failures are answers other than 2xx and lost ones."""

    requests: int
    seconds: float
    failures: int
    answered: int
    """Answers with a 2xx status; a connection that broke is a failure, but no request that was answered."""
    p50: float
    p99: float
    generator_cpu: float
    """CPU seconds that making the load took: near `seconds`, the generator was the bottleneck."""


def have_wrk() -> bool:
    """Whether the load generator of the published figures is installed."""
    return shutil.which("wrk") is not None


def write_requests(path: Path, requests: Sequence[Request]) -> None:
    """The file that wrk.lua reads."""
    with path.open("wb") as file:
        for one in requests:
            file.write(b"%s\t%s\t%s\n" % (one.method.encode(), one.path.encode(), one.body))


def read_requests(path: Path) -> list[Request]:
    """The same file, for the generator in Python."""
    requests = []
    for line in path.read_bytes().splitlines():
        method, route, body = line.split(b"\t", 2)
        requests.append(Request(method.decode(), route.decode(), body))
    return requests


def apply(generator: Generator, port: int, requests: Path, seconds: int, connections: int = CONNECTIONS) -> Load:
    """Load the server for that long with the requests of the file, in turn."""
    if generator == "wrk":
        return wrk(port, seconds, connections, _LUA, requests)
    return python(port, [client.encode(one) for one in read_requests(requests)], seconds, connections)


def wrk(port: int, seconds: int, connections: int, script: Path, *arguments: str | Path) -> Load:
    """Load from wrk, with what `script` makes of its arguments."""
    options: list[str | Path] = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={int(_TIMEOUT)}s"]
    options += ["--latency", "-s", script]
    before = _children_cpu()
    done = subprocess.run(
        [*options, f"http://{HOST}:{port}/", "--", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds + 2 * _TIMEOUT,
        check=False,
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"wrk failed with status {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    report = json.loads(done.stdout.splitlines()[-1])
    return Load(
        requests=report["requests"],
        seconds=report["seconds"],
        failures=report["statuses"] + report["sockets"],
        answered=report["requests"] - report["statuses"],
        p50=report["p50_us"] / 1e6,
        p99=report["p99_us"] / 1e6,
        generator_cpu=_children_cpu() - before,
    )


def python(port: int, raw: Iterable[bytes], seconds: int, connections: int) -> Load:
    """Load from Python, with encoded requests; see client.closed_loop."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    outcome = client.run(client.closed_loop(port, raw, connections, seconds))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Load(
        requests=len(outcome.latencies),
        seconds=outcome.seconds,
        failures=outcome.failures,
        answered=len(outcome.latencies) - outcome.failures,
        p50=client.percentile(outcome.latencies, 50),
        p99=client.percentile(outcome.latencies, 99),
        generator_cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
