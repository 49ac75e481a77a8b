"""The point-in-time join in SQL: for each row of a spine the newest row of each view that holds at its time (rule 1).

DuckDB's ASOF join finds the row with the greatest time that is not after the spine's. It chooses blindly among equal
ones, so that each view's rows are first made unique per entity and time; most are already, and then it costs one look.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from app.planning.selection import PlannedView, Selection

HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE = 0, 1, 2
"""What the status columns of the query say: whether the row of a view holds, and else why not."""
SPINE = "spine"


def relation(index: int) -> str:
    """The name under which the rows of the view at `index` are attached."""
    return f"rows_{index}"


def make_unique(engine: duckdb.DuckDBPyConnection, index: int, planned: PlannedView, known_at: bool) -> None:
    """Make `unique_<index>` of the rows of a view: one per entity and time, and that time as `a`.

    `a` is the event timestamp. With `known_at` it is the time from which the row is known, and only rows are left that
    were the newest known ones at that time: a late row is known when nobody wants it any more.
    """
    keys = [f"k{number}" for number in range(len(planned.view.join_keys))]
    at = "greatest(t, c)" if known_at else "t"
    source, unique = f"timed_{index}", f"unique_{index}"
    engine.execute(f"CREATE TEMP VIEW {source} AS SELECT *, {at} AS a FROM {relation(index)} WHERE t IS NOT NULL")
    if known_at:
        _one_per_time(engine, source, f"single_{index}", keys, planned)
        engine.execute(
            f"CREATE TEMP VIEW {unique} AS SELECT * EXCLUDE (newest) FROM (SELECT *, max(t) OVER ({_partition(keys)}"
            " ORDER BY a ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest"
            f" FROM single_{index}) WHERE newest IS NULL OR t >= newest"
        )
    else:
        _one_per_time(engine, source, unique, keys, planned)


def _one_per_time(
    engine: duckdb.DuckDBPyConnection, source: str, unique: str, keys: Sequence[str], planned: PlannedView
) -> None:
    """Make `unique` of `source`: among the rows of one entity with the same `a` the one that wins by rule 1."""
    group = ", ".join([*keys, "a"])
    repeated = f"{unique}_repeated"
    engine.execute(f"CREATE TEMP TABLE {repeated} AS SELECT {group} FROM {source} GROUP BY {group} HAVING count(*) > 1")
    if engine.execute(f"SELECT count(*) FROM {repeated}").fetchall() == [(0,)]:
        engine.execute(f"CREATE TEMP VIEW {unique} AS SELECT * FROM {source}")
        return
    # All features decide, in the view's order, asked for or not: as they do when the view is materialized.
    values = [f"f{number}" for number in range(len(planned.view.features))]
    order = ", ".join(f"{name} DESC NULLS LAST" for name in ["t", "c", *values])
    engine.execute(
        f"CREATE TEMP VIEW {unique} AS SELECT * FROM {source} ANTI JOIN {repeated} USING ({group})"
        f" UNION ALL SELECT * FROM {source} SEMI JOIN {repeated} USING ({group})"
        f" QUALIFY row_number() OVER ({_partition([*keys, 'a'])} ORDER BY {order}) = 1"
    )


def query(engine: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """The join: r, the number of the spine's row, in order; per view `status_<view>`, and `value_<view>_<feature>`
    for each feature that is read, null where the row does not hold. NaN, as pandas writes what is missing, is null."""
    shown, joins = ["s.r"], []
    for index in range(len(selection.views)):
        shown += _shown(engine, selection, index)
        joins.append(f" ASOF LEFT JOIN unique_{index} v{index} ON {_condition(selection, index)}")
    return f"SELECT {', '.join(shown)} FROM {SPINE} s{''.join(joins)} ORDER BY s.r"


def partition_query(
    engine: duckdb.DuckDBPyConnection, selection: Selection, index: int, partition: int, partitions: int
) -> str:
    """The same for one view and for the rows of the spine whose join keys fall into this partition."""
    columns = list(selection.join_keys)
    pairs = [(f"s{columns.index(column)}", f"k{n}") for n, column in enumerate(selection.views[index].key_columns)]
    spine, unique = dict(_types(engine, SPINE)), dict(_types(engine, f"unique_{index}"))
    # As the types that are compared: equal values of different types need not have the same hash.
    asked = ", ".join(f"coalesce({s}, NULL::{unique[k]})" for s, k in pairs)
    stored = ", ".join(f"coalesce({k}, NULL::{spine[s]})" for s, k in pairs)
    mine, its = f"hash({asked}) % {partitions} = {partition}", f"hash({stored}) % {partitions} = {partition}"
    if not pairs:
        # Each row of the spine may have any row of the view.
        mine, its = f"r % {partitions} = {partition}", "TRUE"
    return (
        f"SELECT s.r, {', '.join(_shown(engine, selection, index))} FROM (SELECT * FROM {SPINE} WHERE {mine}) s"
        f" ASOF LEFT JOIN (SELECT * FROM unique_{index} WHERE {its}) v{index} ON {_condition(selection, index)}"
    )


def _shown(engine: duckdb.DuckDBPyConnection, selection: Selection, index: int) -> list[str]:
    planned, name = selection.views[index], f"v{index}"
    kinds = dict(_types(engine, f"unique_{index}"))
    holds = "TRUE" if planned.max_age is None else f"epoch_us(s.t) - epoch_us({name}.t) <= {planned.max_age}"
    shown = [
        f"CASE WHEN {name}.t IS NULL THEN {NOT_FOUND} WHEN {holds} THEN {HOLDS} ELSE {OUTSIDE_MAX_AGE} END"
        f"::TINYINT AS status_{index}"
    ]
    places = {feature.name: f"f{place}" for place, feature in enumerate(planned.view.features)}
    for number, feature in enumerate(planned.features):
        stored = f"{name}.{places[feature]}"
        condition = f"{holds} AND NOT isnan({stored})" if kinds[places[feature]] in ("FLOAT", "DOUBLE") else holds
        shown.append(f"CASE WHEN {condition} THEN {stored} END AS value_{index}_{number}")
    return shown


def _condition(selection: Selection, index: int) -> str:
    columns = list(selection.join_keys)
    keys = selection.views[index].key_columns
    equal = [f"s.s{columns.index(column)} = v{index}.k{place}" for place, column in enumerate(keys)]
    return " AND ".join([*equal, f"s.t >= v{index}.a"])


def _types(engine: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[str, str]]:
    return engine.execute(f"SELECT column_name, column_type FROM (DESCRIBE {relation})").fetchall()


def _partition(keys: Sequence[str]) -> str:
    return f"PARTITION BY {', '.join(keys)}" if keys else ""
