"""What must be reached, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.cases import COST_SIZES
from benchmarks.exporting.targets import export_targets
from benchmarks.pushing.targets import push_targets
from benchmarks.results import Pushes, Record, Results, Sample
from benchmarks.soak_verdict import judge
from benchmarks.target import Target

GROWTH = 1.25
"""CPU per value may be this much higher at 10,000 entities than at 100 and still count as linear."""

WAIT = 0.020
"""Seconds that a request may wait for a big one."""


def targets(record: Record) -> list[Target]:
    """All of them, in the order of the issues that set them."""
    lines = list(_throughput(record.results)) if record.results else []
    if record.pushes:
        lines += push_targets(Pushes({}, [one for run in record.pushes for one in run.samples]))
    if record.exports:
        lines += export_targets(record.exports)
    if record.soak:
        verdict = judge(record.soak)
        minutes = f"{round(record.soak.seconds / 60, 1):g} minutes at half the peak rate"
        words = f"{verdict.words}; {record.soak.failures:,} of {record.soak.requests:,} requests failed"
        lines.append(Target(minutes, "memory and descriptors flat", words, verdict.flat))
    return lines


def _throughput(results: Results) -> Iterator[Target]:
    yield _ratio(results, "1 entity, requests/s against feast serve", "one", "freshet", "feast", 20)
    yield _ratio(results, "1 entity by GET, requests/s against feast serve", "one", "freshet-get", "feast", 20)
    yield _share(results, "1 entity, requests/s against the relay", "one", "freshet")
    yield _share(results, "1 entity by GET, requests/s against the relay", "one", "freshet-get")
    yield _ratio(results, "100 entities, requests/s against feast serve", "hundred", "freshet", "feast", 25)
    yield _share(results, "100 entities, requests/s against the relay", "hundred", "freshet")
    yield _tail(results, "1 entity, p99 against feast serve", "one")
    yield _tail(results, "100 entities, p99 against feast serve", "hundred")
    yield _ratio(results, "10 views x 10 features x 50 entities", "wide", "freshet", "feast", 20)
    yield _linear(results)
    yield _wait(results)
    yield _ratio(results, "SQLite, 1 entity, requests/s against feast serve", "sqlite-one", "freshet", "feast", 5)
    yield _ratio(
        results, "SQLite, 100 entities, requests/s against feast serve", "sqlite-hundred", "freshet", "feast", 5
    )


def ratio(results: Results, case: str, one: str, other: str, what: Callable[[Sample], float]) -> float | None:
    """Median of one contestant over the median of another; None where either is missing."""
    above, below = results.median(case, one, what), results.median(case, other, what)
    return above / below if above is not None and below else None


def _ratio(results: Results, what: str, case: str, one: str, other: str, least: float) -> Target:
    found = ratio(results, case, one, other, lambda sample: sample.rate)
    return Target.of(what, f">= {least:g} x", found, f"{found or 0:.1f} x", found is not None and found >= least)


def _share(results: Results, what: str, case: str, one: str) -> Target:
    found = ratio(results, case, one, "relay", lambda sample: sample.rate)
    return Target.of(what, ">= 50 %", found, f"{100 * (found or 0):.0f} %", found is not None and found >= 0.5)


def _tail(results: Results, what: str, case: str) -> Target:
    found = ratio(results, case, "feast", "freshet", lambda sample: sample.p99)
    return Target.of(what, "<= 1/10", found, f"1/{found or 0:.1f}", found is not None and found >= 10)


def _linear(results: Results) -> Target:
    base = results.cost(100, "freshet", lambda cost: cost.cpu_per_value)
    most = results.cost(COST_SIZES[-1], "freshet", lambda cost: cost.cpu_per_value)
    found = most / base if base and most is not None else None
    words = f"{found or 0:.2f} x the CPU per value of 100 entities"
    met = found is not None and found <= GROWTH
    return Target.of("cost of 10,000 entities grows linearly", f"<= {GROWTH:g} x", found, words, met)


def _wait(results: Results) -> Target:
    found = results.waited(alone=False, what=lambda one: one.longest)
    alone = results.waited(alone=True, what=lambda one: one.longest) or 0.0
    worst = results.waited_most() or 0.0
    words = (
        f"the longest {1e3 * (found or 0):.1f} ms (median of the rounds), {1e3 * worst:.1f} ms in the worst; "
        f"{1e3 * alone:.1f} ms without it"
    )
    return Target.of(
        "a request beside one for 10,000 entities", f"waits <= {1e3 * WAIT:g} ms", found, words, (found or 0) <= WAIT
    )
