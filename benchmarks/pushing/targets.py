"""What the pushes must reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from benchmarks.pushing.cases import PUSH_CASES
from benchmarks.pushing.contestants import FEAST, PUSH_CONTESTANTS
from benchmarks.results import Pushes
from benchmarks.target import Target

LEAST_BATCHED = 80_000
"""Rows per second in batches of 1,000."""


def push_targets(pushes: Pushes) -> Iterator[Target]:
    """All of them, in the order of the issue that set them."""
    yield _ratio(pushes, "push of 1 row to online, rows/s against feast serve", "push-one", 10)
    yield _tail(pushes)
    yield _batches(pushes)
    what = "push of 1 row to online and offline, rows/s against feast serve and its file"
    yield _ratio(pushes, what, "push-both", 20)
    yield _nothing_lost(pushes)


def times_feast(pushes: Pushes, case: str, contestant: str) -> float | None:
    """The median rate of a contestant over that of `feast serve`, over the connections that are best for it; None where
    either is missing or zero."""
    feast = [name for name in PUSH_CASES[case].contestants if PUSH_CONTESTANTS[name].server == FEAST]
    best = max((pushes.median(case, name, attrgetter("rate")) or 0.0 for name in feast), default=0.0)
    mine = pushes.median(case, contestant, attrgetter("rate"))
    return mine / best if mine is not None and best else None


def _ratio(pushes: Pushes, what: str, case: str, least: float) -> Target:
    found = times_feast(pushes, case, "freshet")
    return Target.of(what, f">= {least:g} x", found, f"{found or 0:.1f} x", (found or 0) >= least)


def _tail(pushes: Pushes) -> Target:
    feast, mine = (pushes.median("push-one", name, attrgetter("p99")) for name in ("feast", "freshet"))
    found = feast / mine if feast is not None and mine else None
    what = "push of 1 row to online, p99 against feast serve"
    return Target.of(what, "<= 1/5", found, f"1/{found or 0:.1f}", (found or 0) >= 5)


def _batches(pushes: Pushes) -> Target:
    names = [name for name in PUSH_CASES["push-batch"].contestants if PUSH_CONTESTANTS[name].server != FEAST]
    rates = {name: pushes.median("push-batch", name, attrgetter("row_rate")) for name in names}
    best = max(names, key=lambda name: rates[name] or 0)
    words = f"{rates[best] or 0:,.0f}/s ({PUSH_CONTESTANTS[best].label})"
    met = (rates[best] or 0) >= LEAST_BATCHED
    return Target.of(
        "push of 1,000 rows to online, 4 connections", f">= {LEAST_BATCHED:,} rows/s", rates[best], words, met
    )


def _nothing_lost(pushes: Pushes) -> Target:
    mine = [one for one in pushes.samples if (one.case, one.contestant) == ("push-both", "freshet")]
    lost, twice = sum(one.lost for one in mine), sum(one.twice for one in mine)
    answered = sum(one.answered * one.rows for one in mine)
    words = f"{lost:,} of {answered:,} answered rows lost, {twice:,} there twice"
    found = float(lost) if mine else None
    return Target.of(
        "push to online and offline: rows in PostgreSQL", "none lost", found, words, not lost and not twice
    )
