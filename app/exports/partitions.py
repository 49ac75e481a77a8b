"""Joins of more rows than memory takes at once: one view after the other, in hash partitions by its join keys.

DuckDB spills what its operators hold, but while they join and sort everything on disk they take far more memory than
its limit says. Partitions fit; what they give waits in tables, which are spilled well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from app.exports import join
from app.planning.selection import Selection

_STRETCHES = 4
"""The rows that are joined at once come out in so many pieces."""


def partitions(engine: duckdb.DuckDBPyConnection, selection: Selection, spine_rows: int, at_once: int) -> list[int]:
    """Into how many partitions the join with each view is to be cut, so that none takes many more than `at_once` rows
    of the spine and the view together."""
    found = []
    for index in range(len(selection.views)):
        rows = engine.execute(f"SELECT count(*) FROM {join.relation(index)}").fetchall()[0][0]  # noqa: S608
        found.append(max(1, -(-(spine_rows + rows) // at_once)))
    return found


def joined(
    engine: duckdb.DuckDBPyConnection,
    selection: Selection,
    spine_rows: int,
    parts: Sequence[int],
    at_once: int,
    rows_per_batch: int,
) -> Iterator[pa.RecordBatch]:
    """What join.query gives, worked out in so many partitions per view."""
    for index, count in enumerate(parts):
        for part in range(count):
            found = join.partition_query(engine, selection, index, part, count)
            make = f"INSERT INTO joined_{index}" if part else f"CREATE TEMP TABLE joined_{index} AS"
            # In order, so that a stretch of the spine is in few places of the table.
            engine.execute(f"{make} {found} ORDER BY s.r")
    # What comes out of a query is in memory as a whole, beyond the limit of the engine.
    stretch = max(1, at_once // _STRETCHES)
    for first in range(0, spine_rows, stretch):
        yield from engine.sql(_stretch(len(parts), first, first + stretch)).to_arrow_reader(rows_per_batch)


def _stretch(views: int, first: int, end: int) -> str:
    """The rows of the spine from `first` to before `end`, in order, with what was found for them in all views."""
    tables = [f"(SELECT * FROM joined_{n} WHERE r >= {first} AND r < {end}) j{n}" for n in range(views)]  # noqa: S608
    joins = [tables[0], *(f"{table} USING (r)" for table in tables[1:])]
    return f"SELECT * FROM {' JOIN '.join(joins)} ORDER BY r"  # noqa: S608
