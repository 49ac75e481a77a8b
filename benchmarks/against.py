"""This tree beside another checkout of Freshet: what a change costs a read.

Both serve the same data from the same Redis and are asked in turn, each first in every other round: as servers under
load, or in process, where the CPU time of few requests at once is the least disturbed by the machine's neighbours.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.cases import CASES, draw, requests
from benchmarks.progress import Progress, console
from benchmarks.server import Server, environment, running
from benchmarks.world import FRESHET, World, built, without_worker
from tests.servers.ports import free_port

_HERE = Path(__file__).resolve().parent.parent
_WARM_UP = 2
_READS = (("one", "freshet-get"), ("one", "freshet"), ("hundred", "freshet"))
_ASKED = (2_000, 2_000, 200)
"""Requests of each in one turn."""


@dataclass(frozen=True)
class Figure:
    """Of one server in one round: requests per second, and CPU seconds of the server for each."""

    rate: float
    cost: float


def against(other: Path, rounds: int, seconds: int, users: int, generator: load.Generator) -> None:
    """Measure, and print a Markdown table of medians and of the medians of the rounds' differences."""
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        world = stack.enter_context(built(progress, users=users, accounts=1, wanted={("freshet", "redis")}))
        this = world.servers["freshet", "redis"]
        that = stack.enter_context(_other(other, world))
        that.wait_for("/readyz")
        rows = []
        for name, contestant in _READS:
            file = world.folder / f"{name}-{contestant}.requests"
            draws = draw(CASES[name], world.dataset)
            load.write_requests(file, requests(CASES[name], contestant, world.dataset, draws))
            for server in (this, that):
                load.apply(generator, server.port, file, _WARM_UP)
            found: dict[Server, list[Figure]] = {this: [], that: []}
            with progress.task(f"{contestant}, {CASES[name].title}", rounds) as advance:
                for number in range(rounds):
                    for server in (this, that) if number % 2 else (that, this):
                        found[server].append(_figure(generator, server, file, seconds))
                    advance(1)
            rows.append(_row(f"{contestant}: {CASES[name].title}", found[that], found[this]))
    console.print("| read | before, /s | after, /s | before, CPU | after, CPU | more CPU |\n|---|---|---|---|---|---|")
    for row in rows:
        console.print(row, markup=False, highlight=False, soft_wrap=True)


def in_process(other: Path, rounds: int, users: int) -> None:
    """Print a Markdown table of the CPU time of a read in process: the least and the median of all rounds."""
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        world = stack.enter_context(built(progress, users=users, accounts=1, wanted={("freshet", "redis")}))
        this, that = (stack.enter_context(_asking(tree, world)) for tree in (_HERE, other))
        rows = []
        for (name, contestant), number in zip(_READS, _ASKED, strict=True):
            file = world.folder / f"{name}-{contestant}.requests"
            load.write_requests(
                file, requests(CASES[name], contestant, world.dataset, draw(CASES[name], world.dataset))
            )
            found: dict[int, list[float]] = {this.pid: [], that.pid: []}
            with progress.task(f"{contestant}, {CASES[name].title}", rounds) as advance:
                for turn in range(rounds + 1):
                    for process in (this, that) if turn % 2 else (that, this):
                        cost = _asked(process, file, number)
                        if turn:  # the first round warms up
                            found[process.pid].append(cost * 1e6)
                    advance(int(turn > 0))
            rows.append(_costs(f"{contestant}: {CASES[name].title}", found[that.pid], found[this.pid]))
    console.print("| read, in process | before: least, median | after | more: of the least, of the medians |")
    console.print("|---|---|---|---|")
    for row in rows:
        console.print(row, markup=False, highlight=False, soft_wrap=True)


def _asking(tree: Path, world: World) -> subprocess.Popen[str]:
    repo = world.folder / "repo-redis"
    folder = world.folder / f"asking-{tree == _HERE}"
    extra = {
        "PYTHONPATH": str(tree),
        "FRESHET_FEATURE_REPO": str(repo),
        "FRESHET_DATA_DIR": str(folder),
        "FRESHET_LOG_FORMAT": "json",
    }
    # -P: the folder of the script has a module named profile, which is not Python's.
    argv = [sys.executable, "-P", str(_HERE / "benchmarks" / "asking.py")]
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=repo, env=environment(folder, extra)
    )


def _asked(process: subprocess.Popen[str], file: Path, number: int) -> float:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    process.stdin.write(json.dumps([str(file), number]) + "\n")
    process.stdin.flush()
    while line := process.stdout.readline():
        if not line.startswith("{"):  # a line of the log
            return float(line)
    raise RuntimeError("the process that was asked has ended")


def _costs(title: str, before: list[float], after: list[float]) -> str:
    least, middle = min(after) / min(before) - 1, statistics.median(after) / statistics.median(before) - 1
    shown = [f"{min(side):,.1f}, {statistics.median(side):,.1f} us" for side in (before, after)]
    return f"| {title} | {shown[0]} | {shown[1]} | {least:+.1%}, {middle:+.1%} |"


def _other(tree: Path, world: World) -> AbstractContextManager[Server]:
    """The server of the other tree, over the same repo, with files of its own beside it."""
    repo, port = world.folder / "repo-redis", free_port()
    extra = {
        "PYTHONPATH": str(tree),
        "FRESHET_FEATURE_REPO": str(repo),
        "FRESHET_DATA_DIR": str(world.folder / "other-freshet"),
    }
    argv: list[str | Path] = [FRESHET, "serve", *without_worker(), "--port", str(port)]
    return running("other", argv, port, folder=world.folder, directory=repo, extra=extra)


def _figure(generator: load.Generator, server: Server, file: Path, seconds: int) -> Figure:
    before = server.cpu_seconds()
    found = load.apply(generator, server.port, file, seconds)
    server.settle()
    if found.failures:
        raise RuntimeError(f"{found.failures} requests failed; the figures would mean nothing")
    # What the settling costs is the same for both, and small.
    return Figure(found.requests / found.seconds, (server.cpu_seconds() - before) / found.requests)


def _row(title: str, before: list[Figure], after: list[Figure]) -> str:
    rates = [statistics.median(one.rate for one in side) for side in (before, after)]
    costs = [statistics.median(one.cost for one in side) * 1e6 for side in (before, after)]
    more = [late.cost / early.cost - 1 for early, late in zip(before, after, strict=True)]
    return (
        f"| {title} | {rates[0]:,.0f} | {rates[1]:,.0f} | {costs[0]:,.1f} us | {costs[1]:,.1f} us | "
        f"{statistics.median(more):+.1%} ({min(more):+.1%} to {max(more):+.1%}) |"
    )
