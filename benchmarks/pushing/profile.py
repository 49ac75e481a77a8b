"""Where `freshet serve` spends its time under pushes in batches, and what else a row costs."""

from __future__ import annotations

import functools

import typer

from benchmarks.load import Generator
from benchmarks.profile import print_samples, py_spy, sampled
from benchmarks.progress import Progress, console
from benchmarks.pushing import load
from benchmarks.pushing.cases import PUSH_CASES, draw, templates
from benchmarks.pushing.contestants import ONE, PUSH_CONTESTANTS
from benchmarks.pushing.templates import write_templates
from benchmarks.pushing.world import built
from benchmarks.server import cpu_seconds

_CASE = PUSH_CASES["push-batch"]
_USERS = 100_000


def profile_pushes(contestant: str, seconds: int, top: int, generator: Generator) -> None:
    """Print what a row costs the server, Redis and the generator, and the server's functions with most samples.

    Raises BadParameter for a contestant whose server is not `freshet serve` with one worker, and where py-spy is not
    installed.
    """
    if contestant not in [one.name for one in PUSH_CONTESTANTS.values() if one.server == ONE]:
        raise typer.BadParameter(f"no such contestant: {contestant}", param_hint="--push")
    spy = py_spy()
    if spy is None:
        raise typer.BadParameter("needs py-spy: .venv/bin/uv pip install py-spy", param_hint="--push")
    with Progress() as progress, built(progress, users=_USERS, wanted={ONE}, settings={}) as world:
        server, file = world.servers[ONE], world.folder / "profile.templates"
        write_templates(file, templates(_CASE, contestant, draw(_CASE, _USERS)))
        apply = functools.partial(load.apply, generator, server.port, file)
        apply(2, _CASE.connections, load.moment())
        with progress.task(f"{seconds} s of load", None):
            before = server.cpu_seconds(), cpu_seconds(world.redis.process.family())
            work = functools.partial(apply, seconds, _CASE.connections, load.moment())
            found, stacks = sampled(spy, world.folder, server, seconds, work)
            after = server.cpu_seconds(), cpu_seconds(world.redis.process.family())
    rows = found.answered * _CASE.rows
    spent = [after[0] - before[0], after[1] - before[1], found.generator_cpu]
    costs = ", ".join(
        f"{who} {1e6 * cpu / max(1, rows):.1f}"
        for who, cpu in zip(("server", "Redis", "generator"), spent, strict=True)
    )
    title = f"`{contestant}`: {rows / found.seconds:,.0f} rows/s while being profiled; µs of CPU per row: {costs}"
    console.print(f"\n{title}\n", markup=False, highlight=False, soft_wrap=True)
    print_samples(stacks, top)
