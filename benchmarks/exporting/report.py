"""The exports' part of RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from benchmarks.exporting.cases import EXPORT_CASES, LABELS, ExportCase
from benchmarks.exporting.results import Exports
from benchmarks.exporting.targets import times
from benchmarks.markdown import about, table
from benchmarks.markdown import times as in_words

_BESIDE = {
    "nothing": "alone",
    "export": "beside an export",
    "export-nice": "beside an export with a niceness of 10",
}

READING = """\
- Exports: from the file of a spine (Parquet) to the file of a result (Parquet, zstd) with the 9 features of a service
  over 2 views with a ttl of 30 days, with the repo already open. Each is made by a process of its own; *peak* is the
  most memory that it ever had resident (`VmHWM`), *before* what Python, the libraries and the registry had taken when
  it began. **freshet** has the default FRESHET_EXPORT_MEMORY of 1 GiB.
- **stock Feast** is `get_historical_features` with Feast's own offline store classes, and its table written by Arrow;
  what PostgreSQL takes for its joins is not in its memory. It was measured once from PostgreSQL. PostgreSQL has its
  default settings, an index on entity and time, and fresh statistics.
- **bare DuckDB ASOF** is one `COPY` of two ASOF joins over the same files: no ties, no ttl, no order, no limit of
  memory.
- Every result was compared with what a plain query says of each row. *Wrong* are rows of the spine that are not in the
  result exactly once with the right values: one row in a thousand of the history repeats an entity and a moment with a
  later created timestamp, and is the one to take; one in ten thousand repeats that time as well, and where a join gives
  both, its result has more *rows* than the spine. A wrong row of Freshet ends the run, without tables. The bare join
  is wrong where there are ties and where a value is older than its ttl, and must be right everywhere else.
- Reads beside an export: 9 features of 1 entity over 4 connections, as fast as the server answers, while another
  process exports the usual spine from Parquet again and again. *CPU export* is what that one had meanwhile, in CPU
  seconds per second.
"""


def export_report(exports: Exports) -> Iterator[str]:
    """The section, with a table per case."""
    yield "## Exports"
    yield ""
    yield from about(exports.about, exports.everything())
    for case in EXPORT_CASES.values():
        yield from _case(exports, case)
    yield from _serving(exports)


def _case(exports: Exports, case: ExportCase) -> Iterator[str]:
    rows = [_row(exports, case, name) for name in case.contestants if exports.of(case.name, name)]
    if not rows:
        return
    asked = max(one.rows for one in exports.of(case.name, case.contestants[0]))
    yield f"### Export of {asked:,} rows {case.title}"
    yield ""
    head = ["", "seconds", "spread", "rows/s", "x feast", "x bare", "peak MiB", "before MiB", "rows", "wrong"]
    yield from table([*head, "stolen", "rounds"], rows)


def _row(exports: Exports, case: ExportCase, name: str) -> list[str]:
    mine = exports.of(case.name, name)
    seconds = exports.seconds(case.name, name) or 0.0
    spread = [one.seconds for one in mine]
    return [
        LABELS[name],
        f"{seconds:.2f}",
        f"{min(spread):.2f} - {max(spread):.2f}",
        f"{mine[0].rows / seconds:,.0f}" if seconds else "-",
        in_words(times(exports, case.name, name, "feast")),
        in_words(times(exports, case.name, name, "bare")),
        f"{max(one.peak for one in mine) / 2**20:,.0f}",
        f"{max(one.base for one in mine) / 2**20:,.0f}",
        f"{max(one.rows for one in mine):,}",
        f"{max(one.wrong for one in mine):,}",
        f"{100 * max(one.stolen for one in mine):.0f} %",
        str(len(mine)),
    ]


def _serving(exports: Exports) -> Iterator[str]:
    if not exports.serving:
        return
    yield "### One entity beside an export"
    yield ""
    rows = []
    for name, label in _BESIDE.items():
        mine = [one for one in exports.serving if one.beside == name]
        rate, p50, p99 = (exports.waited(name, attrgetter(what)) or 0.0 for what in ("rate", "p50", "p99"))
        cpu, failed = exports.waited(name, attrgetter("cpu_export")) or 0.0, sum(one.failures for one in mine)
        stolen = max((one.stolen for one in mine), default=0.0)
        cells = [f"{rate:,.0f}", f"{1e3 * p50:.2f}", f"{1e3 * p99:.2f}", f"{cpu:.2f}", f"{100 * stolen:.0f} %"]
        rows.append([label, *cells, f"{failed:,}"])
    yield from table(["", "requests/s", "p50 ms", "p99 ms", "CPU export", "stolen", "failures"], rows)
