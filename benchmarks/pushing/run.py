"""One run of the pushes: every case in every round, the contestants in turn within it."""

from __future__ import annotations

import functools
import re
import urllib.request
from dataclasses import replace
from pathlib import Path

from benchmarks import machine
from benchmarks.progress import Progress
from benchmarks.pushing import load
from benchmarks.pushing.cases import LEAST_USERS, PUSH_CASES, PushCase, draw, templates
from benchmarks.pushing.check import check
from benchmarks.pushing.contestants import FEAST, PUSH_CONTESTANTS
from benchmarks.pushing.templates import write_templates
from benchmarks.pushing.world import PushWorld, built
from benchmarks.results import Pushes, PushSample
from benchmarks.run import Options, rotated
from benchmarks.server import Server, cpu_seconds
from benchmarks.stolen import undisturbed

_COUNTED = re.compile(r'^freshet_push_rows_total{.*outcome="(\w+)".*} (\S+)$', re.MULTILINE)


def chosen(options: Options) -> list[PushCase]:
    """The cases that are to be measured."""
    return [case for case in PUSH_CASES.values() if not options.only or case.name in options.only]


def run(options: Options) -> Pushes:
    """Build the world, check that what is pushed arrives, measure, and tear the world down."""
    cases, users = chosen(options), max(LEAST_USERS, options.users)
    wanted = {PUSH_CONTESTANTS[name].server for case in cases for name in case.contestants}
    pushes = Pushes(about=machine.describe(options.command))
    with Progress() as progress, built(progress, users=users, wanted=wanted, settings=options.settings) as world:
        pushes.about["redis"] = world.redis.description
        pushes.about["postgres"] = f"{world.postgres.description}, durable"
        pushes.about["data"] = f"{users:,} users; as many rows in either offline store before"
        files = _prepare(cases, users, world, progress)
        for number in range(options.rounds):
            pairs = [(case, name) for case in cases for name in rotated(case.contestants, number)]
            with progress.task(f"Round {number + 1} of {options.rounds}: pushes", len(pairs)) as advance:
                for case, name in pairs:
                    measure = functools.partial(_sample, options, world, case, name, number, files[case.name, name])
                    found, stolen, thrown = undisturbed(measure, options.tries)
                    pushes.samples.append(replace(found, stolen=stolen, thrown_away=thrown))
                    progress.say(_summary(pushes.samples[-1]))
                    advance(1)
    return pushes


def _prepare(cases: list[PushCase], users: int, world: PushWorld, progress: Progress) -> dict[tuple[str, str], Path]:
    """Check every contestant of every case, and make its requests ready."""
    files = {}
    with progress.task("Comparing stores with the data", sum(len(case.contestants) for case in cases)) as advance:
        for case in cases:
            draws = draw(case, users)
            for name in case.contestants:
                ready = templates(case, name, draws)
                check(case, name, world, draws, ready)
                files[case.name, name] = world.folder / f"{case.name}-{name}.templates"
                write_templates(files[case.name, name], ready)
                advance(1)
    return files


def _sample(options: Options, world: PushWorld, case: PushCase, name: str, number: int, file: Path) -> PushSample:
    contestant = PUSH_CONTESTANTS[name]
    connections = contestant.connections_of(case.connections)
    server, offline = world.servers[contestant.server], world.offline[contestant.server]
    if "offline" in case.to:
        offline.reset()
    if options.warm_up:
        load.apply(options.generator, server.port, file, options.warm_up, connections, load.moment())
        server.settle()
    counted, cpu, start = _unapplied(contestant.server, server), _cpu(world, server), load.moment()
    found = load.apply(options.generator, server.port, file, options.seconds, connections, start)
    # A worker that ended takes what it has used with it.
    spent = [max(0.0, after - before) / found.seconds for before, after in zip(cpu, _cpu(world, server), strict=True)]
    server.settle()
    kept = offline.kept(start) if "offline" in case.to else None
    return PushSample(
        case=case.name,
        contestant=name,
        round=number,
        requests=found.requests,
        failures=found.failures,
        rate=found.answered / found.seconds,
        p50=found.p50,
        p99=found.p99,
        cpu_server=spent[0],
        cpu_redis=spent[1],
        cpu_generator=found.generator_cpu / found.seconds,
        cpu_postgres=spent[2],
        rows=case.rows,
        answered=found.answered,
        unapplied=_unapplied(contestant.server, server) - counted,
        # Requests that were still under way at the end may have been kept without an answer.
        lost=0 if kept is None else max(0, found.answered * case.rows - kept.rows),
        twice=0 if kept is None else kept.twice,
    )


def _cpu(world: PushWorld, server: Server) -> tuple[float, float, float]:
    """CPU seconds of the server, of Redis and of PostgreSQL since they started."""
    redis, postgres = (cpu_seconds(one.process.family()) for one in (world.redis, world.postgres))
    return server.cpu_seconds(), redis, postgres


def _unapplied(name: str, server: Server) -> int:
    """Rows that Freshet counts as anything but applied since it started: the load is meant to have none."""
    if name == FEAST:
        return 0
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:  # noqa: S310 - always http
        page = answer.read().decode()
    return sum(int(float(count)) for outcome, count in _COUNTED.findall(page) if outcome != "applied")


def _summary(one: PushSample) -> str:
    failed = f", {one.failures:,} FAILED" if one.failures else ""
    lost = f", {one.lost:,} LOST" if one.lost else ""
    return (
        f"  {one.case:<12} {one.contestant:<18} {one.rate * one.rows:>9,.0f} rows/s   p50 {one.p50 * 1e3:>8.2f} ms   "
        f"p99 {one.p99 * 1e3:>8.2f} ms   stolen {100 * one.stolen:.0f} %{failed}{lost}"
    )
