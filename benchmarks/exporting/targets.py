"""What the exports must reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from benchmarks.exporting.results import Exports
from benchmarks.target import Target

MEMORY = 1.2 * 2**30
"""Bytes that an export of the usual spine from PostgreSQL may have resident."""
BOUND = 2**30
"""FRESHET_EXPORT_MEMORY as it comes: what an export may have resident whatever its size."""


def export_targets(exports: Exports) -> Iterator[Target]:
    """All of them, in the order of the issue that set them."""
    yield _faster(exports, "export from PostgreSQL, against stock Feast", "export-postgres", "feast", 15)
    yield _within(exports, "export from PostgreSQL, peak resident memory", "export-postgres", MEMORY)
    yield _faster(exports, "export from Parquet, against stock Feast", "export-parquet", "feast", 3)
    found = times(exports, "export-parquet", "bare", "freshet")
    what = "export from Parquet, seconds against the bare ASOF join"
    yield Target.of(what, "<= 2 x", found, f"{found or 0:.2f} x", (found or 0) <= 2)
    yield _within(exports, "large export from Parquet, peak resident memory", "export-large", BOUND)
    yield _serving(exports)


def times(exports: Exports, case: str, of: str, than: str) -> float | None:
    """How many times the seconds of one contestant another one took; None where either is missing."""
    mine, other = exports.seconds(case, of), exports.seconds(case, than)
    return other / mine if mine and other is not None else None


def _faster(exports: Exports, what: str, case: str, than: str, least: float) -> Target:
    found = times(exports, case, "freshet", than)
    return Target.of(f"{what}", f">= {least:g} x", found, f"{found or 0:.1f} x", (found or 0) >= least)


def _within(exports: Exports, what: str, case: str, most: float) -> Target:
    found = exports.peak(case, "freshet")
    rows = max((one.rows for one in exports.of(case, "freshet")), default=0)
    words = f"{(found or 0) / 2**30:.2f} GiB for {rows:,} rows"
    return Target.of(what, f"<= {most / 2**30:g} GiB", found, words, (found or 0) <= most)


def _serving(exports: Exports) -> Target:
    alone, beside, nice = (exports.waited(name, attrgetter("p99")) for name in ("nothing", "export", "export-nice"))
    words = ", ".join(
        f"{1e3 * (found or 0):.2f} ms {where}"
        for found, where in ((alone, "alone"), (beside, "beside it"), (nice, "beside a nice one"))
    )
    if nice is None:
        return Target("1 entity beside an export, p99", "(in the table)", "not measured", None)
    return Target("1 entity beside an export, p99", "(in the table)", words, None)
