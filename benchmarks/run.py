"""One run: every case in every round, the contestants in turn within it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import beside, client, load, machine
from benchmarks.cases import BESIDE, CASES, COST, COST_SIZES, Case, cost_case, draw, requests
from benchmarks.check import check
from benchmarks.contestants import CONTESTANTS
from benchmarks.progress import Progress
from benchmarks.results import Cost, Results, Sample
from benchmarks.server import Server
from benchmarks.stolen import TRIES, undisturbed
from benchmarks.world import World, built


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    rounds: int = 3
    seconds: int = 8
    """Of load per contestant, case and round."""
    warm_up: int = 2
    tries: int = TRIES
    """Of each measurement at most, where much is stolen from it."""
    cost_seconds: float = 2.0
    """Of sequential requests per contestant, size and round of the cost table."""
    cost_least: int = 3
    """Requests of the cost table, however long one takes."""
    compared: int = 20_000
    """Values per contestant and case that are compared with the data before anything is timed."""
    users: int = 100_000
    accounts: int = 10_000
    only: tuple[str, ...] = ()
    generator: load.Generator = "wrk"
    command: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    relay_wait: str = "async"

    @property
    def cases(self) -> list[Case]:
        """The chosen cases."""
        return [case for case in CASES.values() if not self.only or case.name in self.only]

    @property
    def reads(self) -> bool:
        """Whether any read is measured."""
        return bool(self.cases or self.costs or self.beside)

    @property
    def beside(self) -> bool:
        """Whether small requests are measured beside big ones."""
        return self.users >= beside.ENTITIES and (not self.only or BESIDE in self.only)

    @property
    def costs(self) -> list[Case]:
        """The chosen rows of the cost table, as far as there are enough users."""
        sizes = [size for size in COST_SIZES if size <= self.users]
        return [cost_case(size) for size in sizes] if not self.only or COST in self.only else []


def run(options: Options) -> Results:
    """Build the world, check every answer, measure, and tear the world down."""
    wanted: set[tuple[str, str]] = set()
    for case in [*options.cases, *options.costs]:
        wanted |= case.pairs()
    if options.beside:
        wanted.add((beside.CONTESTANT, "redis"))
    results = Results(about=machine.describe(options.command))
    with (
        Progress() as progress,
        built(
            progress,
            users=options.users,
            accounts=options.accounts,
            wanted=wanted,
            settings=options.settings,
            relay_wait=options.relay_wait,
        ) as world,
    ):
        results.about["redis"] = world.redis.description
        results.about["data"] = f"{options.users:,} users (user_v1), {options.accounts:,} accounts (account_v1)"
        results.about["relay"] = f"waits for Redis {options.relay_wait}"
        files = _prepare(options, world, progress)
        for number in range(options.rounds):
            label = f"Round {number + 1} of {options.rounds}"
            pairs = [(case, name) for case in options.cases for name in rotated(case.contestants, number)]
            with progress.task(f"{label}: requests per second", len(pairs)) as advance:
                for case, name in pairs:
                    file = files[case.name, name]
                    found, stolen, thrown = undisturbed(
                        functools.partial(_sample, options, world, case, name, number, file), options.tries
                    )
                    results.samples.append(replace(found, stolen=stolen, thrown_away=thrown))
                    progress.say(_summary(results.samples[-1]))
                    advance(1)
            _costs(options, world, number, results, progress, label)
            _beside(options, world, number, results, progress, label)
    return results


def rotated(names: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The names, in another order for each round: whoever is first after a pause must not always be the same."""
    start = number % len(names)
    return names[start:] + names[:start]


def _server(world: World, case: Case, name: str) -> Server:
    return world.servers[CONTESTANTS[name].server, case.store]


def _prepare(options: Options, world: World, progress: Progress) -> dict[tuple[str, str], Path]:
    """Check the answers of every contestant to every case, and make its requests ready."""
    cases = [*options.cases, *options.costs]
    files = {}
    with progress.task("Comparing answers with the data", sum(len(case.contestants) for case in cases)) as advance:
        for case in cases:
            draws = draw(case, world.dataset)
            for name in case.contestants:
                # As they will be measured: those of the cost table one at a time.
                connections = load.CONNECTIONS if case in options.cases else 1
                check(case, name, world.dataset, _server(world, case, name).port, connections, options.compared)
                files[case.name, name] = world.folder / f"{case.name}-{name}.requests"
                load.write_requests(files[case.name, name], requests(case, name, world.dataset, draws))
                advance(1)
    return files


def _sample(options: Options, world: World, case: Case, name: str, number: int, file: Path) -> Sample:
    server = _server(world, case, name)
    if options.warm_up:
        load.apply(options.generator, server.port, file, options.warm_up)
        server.settle()
    server_before, redis_before = server.cpu_seconds(), world.redis_cpu_seconds()
    found = load.apply(options.generator, server.port, file, options.seconds)
    server_cpu, redis_cpu = server.cpu_seconds() - server_before, world.redis_cpu_seconds() - redis_before
    server.settle()
    return Sample(
        case=case.name,
        contestant=name,
        round=number,
        requests=found.requests,
        failures=found.failures,
        rate=(found.requests - found.failures) / found.seconds,
        p50=found.p50,
        p99=found.p99,
        cpu_server=server_cpu / found.seconds,
        cpu_redis=redis_cpu / found.seconds,
        cpu_generator=found.generator_cpu / found.seconds,
    )


def _costs(options: Options, world: World, number: int, results: Results, progress: Progress, label: str) -> None:
    if not options.costs:
        return
    pairs = [(case, name) for case in options.costs for name in case.contestants]
    with progress.task(f"{label}: CPU per value", len(pairs)) as advance:
        for case, name in pairs:
            found, stolen, thrown = undisturbed(
                functools.partial(_cost, options, world, case, name, number), options.tries
            )
            results.costs.append(replace(found, stolen=stolen, thrown_away=thrown))
            advance(1)


def _cost(options: Options, world: World, case: Case, name: str, number: int) -> Cost:
    server = _server(world, case, name)
    raw = [client.encode(one) for one in requests(case, name, world.dataset, draw(case, world.dataset))]
    client.run(client.closed_loop(server.port, raw, 1, 0.0, at_least=1))
    before = server.cpu_seconds()
    outcome = client.run(client.closed_loop(server.port, raw, 1, options.cost_seconds, options.cost_least))
    spent = server.cpu_seconds() - before
    count = len(outcome.latencies)
    return Cost(
        entities=case.entities,
        contestant=name,
        round=number,
        requests=count,
        failures=outcome.failures,
        cpu_per_value=spent / (count * case.values),
        p50=client.percentile(outcome.latencies, 50),
    )


def _beside(options: Options, world: World, number: int, results: Results, progress: Progress, label: str) -> None:
    if not options.beside:
        return
    with progress.task(f"{label}: one entity beside {beside.ENTITIES:,}", 1) as advance:
        work = functools.partial(beside.measure, world, options.generator, number, options.seconds)
        found, stolen, thrown = undisturbed(work, options.tries)
        # One measurement that gives two lines: what was thrown away is counted with the first.
        thrown_by_line = [thrown, *[0] * (len(found) - 1)]
        results.beside += [
            replace(one, stolen=stolen, thrown_away=number) for one, number in zip(found, thrown_by_line, strict=True)
        ]
        advance(1)


def _summary(one: Sample) -> str:
    failed = f", {one.failures:,} FAILED" if one.failures else ""
    return (
        f"  {one.case:<15} {one.contestant:<12} {one.rate:>9,.0f}/s   p50 {one.p50 * 1e3:>8.2f} ms   "
        f"p99 {one.p99 * 1e3:>8.2f} ms{failed}"
    )
