"""One run of the exports: every case in every round, the contestants in turn within it; then the reads beside one."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import load, machine
from benchmarks.exporting import beside
from benchmarks.exporting.cases import EXPORT_CASES, SERVING, ExportCase
from benchmarks.exporting.check import check, compare
from benchmarks.exporting.dataset import DAYS, VIEWS, Sizes
from benchmarks.exporting.process import export_once
from benchmarks.exporting.results import Exports, ExportSample
from benchmarks.exporting.world import ExportWorld, built
from benchmarks.progress import Progress
from benchmarks.run import rotated
from benchmarks.stolen import TRIES, undisturbed


@dataclass(frozen=True)
class ExportOptions:
    """How much is measured."""

    rounds: int = 3
    tries: int = TRIES
    """Of each measurement at most, where much is stolen from it; those of one round alone are made once."""
    rows: int = 1_000_000
    large: int = 10_000_000
    sizes: Sizes = field(default_factory=Sizes)
    seconds: int = 8
    """Of reads, alone and beside an export, per round."""
    users: int = 10_000
    """Whose features are read."""
    only: tuple[str, ...] = ()
    generator: load.Generator = "wrk"
    command: str = ""

    @property
    def cases(self) -> list[ExportCase]:
        """The chosen ones."""
        return [case for case in EXPORT_CASES.values() if not self.only or case.name in self.only]

    @property
    def serving(self) -> bool:
        """Whether reads are measured beside an export."""
        return not self.only or SERVING in self.only

    def spine(self, case: ExportCase) -> int:
        """Rows of the spine of a case."""
        return self.large if case.large else self.rows


def run_exports(options: ExportOptions) -> Exports:
    """Build the world, measure, compare every result with what it must be, and tear the world down."""
    spines = {options.spine(case) for case in options.cases} | ({options.rows} if options.serving else set())
    exports = Exports(about=machine.describe(options.command, exports=True))
    with (
        Progress() as progress,
        built(
            progress, sizes=options.sizes, spines=sorted(spines), stores={case.store for case in options.cases}
        ) as world,
    ):
        exports.about["postgres"] = world.postgres
        exports.about["data"] = _data(options)
        for number in range(options.rounds):
            _round(options, world, number, exports, progress)
        if options.serving:
            repo, spine = world.repos["parquet"], world.spines[options.rows]
            exports.serving += beside.measure(options, progress, repo, spine, world.folder)
    return exports


def _data(options: ExportOptions) -> str:
    views = ", ".join(f"{view.name} ({len(view.fields)} features, {options.sizes.rows(view):,} rows)" for view in VIEWS)
    return f"{views} of {options.sizes.entities:,} entities over {DAYS} days"


def _round(options: ExportOptions, world: ExportWorld, number: int, exports: Exports, progress: Progress) -> None:
    pairs = [
        (case, name)
        for case in options.cases
        for name in rotated(case.contestants, number)
        if number == 0 or name not in case.once
    ]
    with progress.task(f"Round {number + 1} of {options.rounds}: exports", len(pairs)) as advance:
        for case, name in pairs:
            tries = 1 if name in case.once else options.tries
            measure = functools.partial(_sample, world, case, name, number, options.spine(case))
            found, stolen, thrown = undisturbed(measure, tries)
            exports.samples.append(replace(found, stolen=stolen, thrown_away=thrown))
            progress.say(_summary(exports.samples[-1]))
            advance(1)


def _sample(world: ExportWorld, case: ExportCase, name: str, number: int, rows: int) -> ExportSample:
    folder = world.folder / "results" / f"{case.name}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    target: Path = folder / "result.parquet"
    found = export_once(name, world.repos[case.store], world.spines[rows], target)
    verdict = compare(world.expected[rows], target)
    check(name, verdict, target, rows)
    target.unlink()
    return ExportSample(
        case=case.name,
        contestant=name,
        round=number,
        seconds=found.seconds,
        peak=found.peak,
        base=found.base,
        rows=verdict.rows,
        wrong=verdict.wrong,
    )


def _summary(one: ExportSample) -> str:
    return (
        f"  {one.case:<15} {one.contestant:<8} {one.seconds:>8.2f} s   peak {one.peak / 2**20:>6,.0f} MiB   "
        f"{one.rows:,} rows, {one.wrong:,} wrong   stolen {100 * one.stolen:.0f} %"
    )
