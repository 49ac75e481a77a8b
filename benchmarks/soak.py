"""Minutes of steady load, while memory and descriptors of the server are watched."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from benchmarks import client, load, machine
from benchmarks.contestants import CONTESTANTS, Request
from benchmarks.dataset import USER, Dataset
from benchmarks.progress import Progress
from benchmarks.results import Soak, SoakPoint
from benchmarks.server import Server
from benchmarks.world import built

_DISTINCT = 20_000
_MANY_EVERY = 10  # requests; one of them asks for many entities
_MANY = 100


@dataclass(frozen=True)
class SoakOptions:
    """How long, and how the peak is found."""

    minutes: float = 10.0
    every: float = 10.0
    """Seconds between two looks at the server."""
    users: int = 100_000
    peak_seconds: int = 8
    generator: load.Generator = "wrk"
    command: str = ""


def soak(options: SoakOptions) -> Soak:
    """Find the peak, then keep half of it for so many minutes."""
    about = machine.describe(options.command)
    with (
        Progress() as progress,
        built(progress, users=options.users, accounts=1, wanted={("freshet", "redis")}) as world,
    ):
        server = world.servers["freshet", "redis"]
        requests = _requests(world.dataset)
        file = world.folder / "soak.requests"
        load.write_requests(file, requests)
        with progress.task("Finding the peak", 2) as advance:
            load.apply(options.generator, server.port, file, options.peak_seconds)
            advance(1)
            best = load.apply(options.generator, server.port, file, options.peak_seconds)
            advance(1)
        peak = (best.requests - best.failures) / best.seconds
        raw = [client.encode(one) for one in requests]
        return client.run(_soak(options, about, server, raw, peak, progress))


def _requests(dataset: Dataset) -> list[Request]:
    dice = random.Random("soak")
    population = range(dataset.count(USER))
    requests = []
    for number in range(_DISTINCT):
        numbers = dice.sample(population, min(_MANY, len(population)) if number % _MANY_EVERY == 0 else 1)
        # The single ones by both calls.
        name = "freshet-get" if number % 2 and len(numbers) == 1 else "freshet"
        requests.append(CONTESTANTS[name].request(USER, [dataset.entity_id(USER, one) for one in numbers]))
    return requests


async def _soak(
    options: SoakOptions, about: dict[str, str], server: Server, raw: list[bytes], peak: float, progress: Progress
) -> Soak:
    seconds = options.minutes * 60
    outcome = client.Outcome()
    points: list[SoakPoint] = []
    began = time.perf_counter()
    work = asyncio.create_task(client.open_loop(server.port, raw, load.CONNECTIONS, seconds, peak / 2, outcome))
    with progress.task(f"{options.minutes:g} minutes at {peak / 2:,.0f} requests/s", round(seconds)) as advance:
        shown = 0
        while not work.done():
            # A moment after the start, so that the connections are counted at the first look, too.
            due = began + len(points) * options.every + min(1.0, options.every / 2)
            await asyncio.wait([work], timeout=max(0.0, due - time.perf_counter()))
            if not work.done():
                usage = server.usage()
                points.append(SoakPoint(time.perf_counter() - began, usage.resident, usage.descriptors))
                passed = round(points[-1].seconds)
                advance(passed - shown)
                shown = passed
    await work
    return Soak(
        about=about,
        peak=peak,
        rate=len(outcome.latencies) / outcome.seconds,
        asked=peak / 2,
        seconds=outcome.seconds,
        requests=len(outcome.latencies),
        failures=outcome.failures,
        p50=client.percentile(outcome.latencies, 50),
        p99=client.percentile(outcome.latencies, 99),
        points=points,
    )
