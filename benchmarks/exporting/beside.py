"""What reads of one entity wait while an export is at work on the same machine."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.cases import CASES, draw, requests
from benchmarks.check import check
from benchmarks.exporting.process import exporting
from benchmarks.exporting.results import ServingSample
from benchmarks.progress import Progress
from benchmarks.server import cpu_seconds
from benchmarks.stolen import undisturbed
from benchmarks.world import built
from tests.servers.process import GuardedProcess

if TYPE_CHECKING:
    from benchmarks.exporting.run import ExportOptions

CONTESTANT = "freshet"
CONNECTIONS = 4
NICENESS = {"nothing": None, "export": 0, "export-nice": 10}
"""Of the export beside the reads, by what stands in the results."""
_CASE = CASES["one"]
_WARM_UP_SECONDS = 1


def measure(
    options: ExportOptions, progress: Progress, repo: Path, spine: Path, folder: Path
) -> Iterator[ServingSample]:
    """The reads of every round: alone, and beside exports in a process of their own, as they come and nice."""
    with built(progress, users=options.users, accounts=1, wanted=_CASE.pairs() & {("freshet", "redis")}) as world:
        server = world.servers["freshet", "redis"]
        check(_CASE, CONTESTANT, world.dataset, server.port, CONNECTIONS)
        file = world.folder / "serving.requests"
        load.write_requests(file, requests(_CASE, CONTESTANT, world.dataset, draw(_CASE, world.dataset)))
        load.apply(options.generator, server.port, file, _WARM_UP_SECONDS, CONNECTIONS)

        def reads(name: str, number: int) -> ServingSample:
            niceness = NICENESS[name]
            place = folder / f"serving-{name}"
            place.mkdir(exist_ok=True)
            with _beside(repo, spine, place / "result.parquet", niceness) as process:
                before = cpu_seconds(process.family()) if process else 0.0
                found = load.apply(options.generator, server.port, file, options.seconds, CONNECTIONS)
                after = cpu_seconds(process.family()) if process else 0.0
            server.settle()
            rate = found.answered / found.seconds
            return ServingSample(
                name,
                number,
                found.requests,
                found.failures,
                rate,
                found.p50,
                found.p99,
                (after - before) / found.seconds,
            )

        names = tuple(NICENESS)
        with progress.task("Reads beside an export", options.rounds * len(names)) as advance:
            for number in range(options.rounds):
                for name in names:
                    found, stolen, thrown = undisturbed(functools.partial(reads, name, number), options.tries)
                    progress.say(f"  {name:<12} {found.rate:>8,.0f}/s   p99 {found.p99 * 1e3:.2f} ms")
                    yield replace(found, stolen=stolen, thrown_away=thrown)
                    advance(1)


def _beside(
    repo: Path, spine: Path, target: Path, niceness: int | None
) -> contextlib.AbstractContextManager[GuardedProcess | None]:
    return contextlib.nullcontext() if niceness is None else exporting(repo, spine, target, niceness)
