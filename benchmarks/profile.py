"""Where a server's time goes: samples of py-spy, or calls counted by cProfile, folded into the top functions."""

from __future__ import annotations

import functools
import pstats
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import load
from benchmarks.cases import Case, draw, requests
from benchmarks.dataset import ACCOUNT, USER
from benchmarks.progress import Progress, console, err
from benchmarks.server import Server
from benchmarks.world import built

_RATE = 500  # samples per second
_WAITING = ("Condition.wait ", "_worker (concurrent/")
"""Idle threads of a pool, which py-spy takes for busy on some kernels. The event loop's own wait cannot be told from
its work: both are `Runner.run`, inside uvloop."""


def profile(
    contestant: str,
    entities: int,
    store: str,
    seconds: int,
    top: int,
    calls: bool,
    generator: load.Generator,
    wide: bool = False,
) -> None:
    """Load `freshet serve` and print where it was meanwhile, as Markdown tables; `wide`: with 100 features of 10 views
    instead of 9 of 2."""
    spy = None if calls else py_spy()
    if spy is None and not calls:
        err.print("py-spy is not installed; counting calls with cProfile")
    service = ACCOUNT if wide else USER
    case = Case("profile", "", service, store, entities, (contestant,), max(100, 20_000 // entities))
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        world = stack.enter_context(
            built(
                progress,
                users=20_000,
                accounts=10_000 if wide else 1,
                wanted={("freshet", store)},
                profiled=spy is None,
            )
        )
        server = world.servers["freshet", store]
        file = world.folder / "profile.requests"
        load.write_requests(file, requests(case, contestant, world.dataset, draw(case, world.dataset)))
        load.apply(generator, server.port, file, 2)
        with progress.task(f"{seconds} s of load", None):
            if spy is not None:
                work = functools.partial(load.apply, generator, server.port, file, seconds)
                found, stacks = sampled(spy, world.folder, server, seconds, work)
            else:
                server.process.send(signal.SIGUSR1)
                found = load.apply(generator, server.port, file, seconds)
        rate = (found.requests - found.failures) / found.seconds
        title = f"`{contestant}`, {entities:,} entities, {store}: {rate:,.0f} requests/s while being profiled"
        console.print(f"\n{title}\n", markup=False, highlight=False)
        if spy is not None:
            print_samples(stacks, top)
        else:
            _print_calls(server, world.folder, top)


def py_spy() -> str | None:
    """The sampler, where it is installed."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def sampled(
    spy: str, folder: Path, server: Server, seconds: int, work: Callable[[], load.Load]
) -> tuple[load.Load, list[tuple[list[str], int]]]:
    """What `work` gives, a load of so many seconds, and (stack from the outermost frame to the innermost, samples)."""
    raw = folder / "stacks.raw"
    command = [spy, "record", "--pid", str(server.process.pid), "--format", "raw", "--output", str(raw)]
    # Functions, not lines; without pausing the server for each sample, which costs it most of its speed.
    command += ["--rate", str(_RATE), "--duration", str(max(1, seconds - 1)), "--function", "--nonblocking"]
    sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = work()
        _, complaint = sampler.communicate(timeout=60)
    finally:
        sampler.kill()
    if not raw.exists():
        raise RuntimeError(f"py-spy recorded nothing: {complaint[-500:]}")
    stacks = []
    for line in raw.read_text(encoding="utf-8").splitlines():
        text, _, count = line.rpartition(" ")
        frames = text.split(";")
        if not frames[-1].startswith(_WAITING):
            stacks.append((frames, int(count)))
    return found, stacks


def print_samples(stacks: list[tuple[list[str], int]], top: int) -> None:
    """The functions with most samples, by themselves and with what they call, as Markdown tables."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    everything = sum(count for _, count in stacks)
    for frames, count in stacks:
        own[frames[-1]] += count
        for frame in set(frames):
            total[frame] += count
    for title, ranking in (("own time", own), ("with what it calls", total)):
        console.print(f"| {title} | function |\n|---|---|", markup=False, highlight=False)
        for frame, count in ranking.most_common(top):
            line = f"| {100 * count / everything:.1f} % | `{_short(frame)}` |"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print()


def _print_calls(server: Server, folder: Path, top: int) -> None:
    # Ctrl-C ends it without waiting for a load balancer; the figures are written at its end.
    server.process.send(signal.SIGINT)
    server.process.wait(30)
    statistics = pstats.Stats(str(folder / "calls.pstats"), stream=None)
    rows = statistics.stats.items()  # type: ignore[attr-defined]
    everything = sum(own for _, (_, _, own, _, _) in rows)
    console.print("| own time | with callees | calls | function |\n|---|---|---|---|", markup=False, highlight=False)
    for (file, line, name), (_, count, own, cumulative, _) in sorted(rows, key=lambda row: -row[1][2])[:top]:
        place = name if file == "~" else f"{name} ({_short(file)}:{line})"
        shares = f"{100 * own / everything:.1f} % | {100 * cumulative / everything:.1f} %"
        console.print(f"| {shares} | {count:,} | `{place}` |", markup=False, highlight=False, soft_wrap=True)


def _short(text: str) -> str:
    """Paths cut to the last folder and the file: the others say more of the machine than of the program."""
    return re.sub(r"[^\s(]*/([^/\s]+/[^/\s]+)", r"\1", text)
