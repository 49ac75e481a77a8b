"""The pushes' part of RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from benchmarks.markdown import about, table, times
from benchmarks.pushing.cases import PUSH_CASES, PushCase
from benchmarks.pushing.contestants import FEAST, PUSH_CONTESTANTS
from benchmarks.pushing.targets import times_feast
from benchmarks.results import Pushes, PushSample

READING = """\
- Pushes: **freshet** answers `POST /v1/push/{push_source}`, **feast serve** its `POST /push`, of the same 6 features of
  one view, with their own projects in the same Redis. For both, event timestamps rise from request to request, so that
  every row is newer than what is stored; *not applied* counts what Freshet says was not. No user is in two of the
  requests that are sent in turn. Before anything is timed, rows are pushed, and read back from the server and its
  offline store.
- Offline, Freshet appends to PostgreSQL with `fsync` and Feast to the Parquet file that its file store rewrites; both
  hold a row per user before, and Feast's file is put back before each measurement. *Lost* are rows that were answered
  with 2xx and are not in the offline store afterwards, *twice* are rows that are there more than once. Two pushes at
  once spoil Feast's file, or end its worker: *x feast* compares with the better of its two lines.
"""


def push_report(runs: Sequence[Pushes]) -> Iterator[str]:
    """A section per run, with a table per case."""
    for pushes in runs:
        yield "## Pushes"
        yield ""
        yield from about(pushes.about, pushes.samples)
        for case in PUSH_CASES.values():
            yield from _case(pushes, case)


def _case(pushes: Pushes, case: PushCase) -> Iterator[str]:
    rows = [row for name in case.contestants if (row := _row(pushes, case, name))]
    if not rows:
        return
    yield f"### {case.title}"
    yield ""
    head = ["", "rows/s", "spread", "p50 ms", "p99 ms", "x feast"]
    head += [f"CPU {who}" for who in ("server", "Redis", "PostgreSQL", "generator")]
    head += ["stolen", "failures", "not applied"]
    yield from table([*head, "answered", "lost", "twice"] if "offline" in case.to else head, rows)


def _row(pushes: Pushes, case: PushCase, name: str) -> list[str]:
    mine = [one for one in pushes.samples if (one.case, one.contestant) == (case.name, name)]
    if not mine:
        return []
    medians = {
        what: pushes.median(case.name, name, attrgetter(what)) or 0.0
        for what in ("row_rate", "p50", "p99", "cpu_server", "cpu_redis", "cpu_postgres", "cpu_generator")
    }
    rates = [one.row_rate for one in mine]
    cells = [
        PUSH_CONTESTANTS[name].label,
        f"{medians['row_rate']:,.0f}",
        f"{min(rates):,.0f} - {max(rates):,.0f}",
        f"{1e3 * medians['p50']:.2f}",
        f"{1e3 * medians['p99']:.2f}",
        times(times_feast(pushes, case.name, name)),
        *(f"{medians[what]:.2f}" for what in ("cpu_server", "cpu_redis", "cpu_postgres", "cpu_generator")),
        f"{100 * max(one.stolen for one in mine):.0f} %",
        f"{sum(one.failures for one in mine):,}",
        f"{sum(one.unapplied for one in mine):,}" if PUSH_CONTESTANTS[name].server != FEAST else "-",
    ]
    return [*cells, *_offline(mine)] if "offline" in case.to else cells


def _offline(mine: list[PushSample]) -> list[str]:
    answered = sum(one.answered * one.rows for one in mine)
    return [f"{answered:,}", f"{sum(one.lost for one in mine):,}", f"{sum(one.twice for one in mine):,}"]
