"""What an export must give, worked out by DuckDB in plain SQL and without any hurry, and what a result says instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.check import WrongAnswerError
from benchmarks.exporting.dataset import ENTITY, FEATURES, ROW, TTL_DAYS, VIEWS, HistoryView
from benchmarks.exporting.repo import history_file


@dataclass(frozen=True)
class Verdict:
    """Rows of a result; rows of the spine that are not in it once with the right values (`wrong`), and how many of
    these are neither of a tie nor beyond the ttl, where every ASOF join is right (`plainly_wrong`)."""

    rows: int
    wrong: int
    plainly_wrong: int


def expect(folder: Path, spine: Path) -> Path:
    """Work out the right values for a spine into a file beside it: ROW, the features, and `plain`, whether the row
    has to do with no tie and nothing beyond its ttl."""
    target = spine.with_name(f"expected-{spine.name}")
    shown = ", ".join(
        f"CASE WHEN {view.name}.held THEN {view.name}.{feature} END AS {feature}" for view, feature in FEATURES
    )
    plain = " AND ".join(f"({view.name}.held IS NULL OR ({view.name}.held AND NOT {view.name}.tied))" for view in VIEWS)
    joins = " ".join(f"LEFT JOIN found_{view.name} {view.name} USING ({ROW})" for view in VIEWS)
    with _engine() as engine:
        engine.execute(f"CREATE VIEW spine AS SELECT * FROM read_parquet('{spine}')")
        for view in VIEWS:
            engine.execute(_found(view, history_file(folder, view.name)))
        engine.execute(
            f"COPY (SELECT {ROW}, {shown}, {plain} AS plain FROM spine {joins}) TO '{target}' (FORMAT parquet)"
        )
    return target


def _found(view: HistoryView, file: Path) -> str:
    """The newest row of a view per row of the spine: the newest moment first, then the newest created one, then the
    greatest values."""
    order = ", ".join(f"{name} DESC NULLS LAST" for name in ["created", *view.fields])
    newest = f"PARTITION BY {ENTITY}, event_timestamp ORDER BY {order}"
    single = (
        f"SELECT *, count(*) OVER (PARTITION BY {ENTITY}, event_timestamp) > 1 AS tied FROM read_parquet('{file}')"
        f" QUALIFY row_number() OVER ({newest}) = 1"
    )
    return (
        f"CREATE TABLE found_{view.name} AS SELECT s.{ROW}, h.* EXCLUDE ({ENTITY}, event_timestamp, created),"
        f" s.event_timestamp - INTERVAL {TTL_DAYS} DAY <= h.event_timestamp AS held FROM spine s ASOF JOIN ({single}) h"
        f" ON s.{ENTITY} = h.{ENTITY} AND s.event_timestamp >= h.event_timestamp"
    )


def compare(expected: Path, result: Path) -> Verdict:
    """A result beside what it must be."""
    same = " AND ".join(f"r.{feature} IS NOT DISTINCT FROM e.{feature}" for _, feature in FEATURES)
    with _engine() as engine:
        engine.execute(
            f"CREATE VIEW found AS SELECT {ROW}, count(*) AS rows, bool_and({same}) AS same"
            f" FROM read_parquet('{result}') r JOIN read_parquet('{expected}') e USING ({ROW}) GROUP BY {ROW}"
        )
        ((wrong, plainly),) = engine.execute(
            "SELECT count(*), count(*) FILTER (plain)"
            f" FROM read_parquet('{expected}') LEFT JOIN found USING ({ROW}) WHERE rows IS DISTINCT FROM 1 OR NOT same"
        ).fetchall()
        ((rows,),) = engine.execute(f"SELECT count(*) FROM read_parquet('{result}')").fetchall()
    return Verdict(int(rows), int(wrong), int(plainly))


def check(contestant: str, verdict: Verdict, result: Path, rows: int) -> None:
    """Raises WrongAnswerError where Freshet is wrong anywhere, or out of order, or where the bare join is wrong in what
    every ASOF join can: one of the two has another task then. Feast's answers are counted, whatever they are."""
    if contestant == "freshet" and (verdict.wrong or verdict.rows != rows or not _in_order(result)):
        raise WrongAnswerError(f"freshet exported {verdict.rows:,} rows for {rows:,}; {verdict.wrong:,} of these wrong")
    if contestant == "bare" and (verdict.plainly_wrong or verdict.rows != rows):
        raise WrongAnswerError(f"The bare join differs in {verdict.plainly_wrong:,} rows without ties, within the ttl")


def _in_order(result: Path) -> bool:
    query = f"SELECT bool_and({ROW} = file_row_number) FROM read_parquet('{result}', file_row_number = true)"
    with _engine() as engine:
        return engine.execute(query).fetchall() == [(True,)]


def _engine() -> duckdb.DuckDBPyConnection:
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    return engine
