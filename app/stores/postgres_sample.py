"""Some rows of a PostgreSQL table, as good as at random, without reading all of a large one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from psycopg import sql

_FEW_PAGES = 4_000
"""A table of so many pages (of 8 KiB) is read in a tenth of a second."""
_BY_CHANCE = sql.SQL("random()")
_SAMPLED_PAGES = (400, 8_000)
"""The second sample is for windows that hold in few places, as the last day does in the rows of years."""

# The size and not pg_class.reltuples, which nobody knows of a table before it is analysed. Children that inherit are
# read with a table but are not part of its size.
_PAGES = """
SELECT CASE relkind WHEN 'p' THEN (SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(pg_class.oid))
       ELSE pg_relation_size(oid) END / current_setting('block_size')::int
FROM pg_class
WHERE oid = to_regclass(%s) AND relkind IN ('r', 'm', 'p')
  AND (relkind = 'p' OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = pg_class.oid))
"""


def random_rows(
    connection: psycopg.Connection[Any],
    source: PostgreSQLSource,
    shown: Sequence[sql.Composable],
    conditions: Sequence[sql.Composable],
    rows: int,
) -> list[tuple[Any, ...]]:
    """What is `shown` of at most so many rows for which the conditions hold, each value once. Raises psycopg.Error.

    Of a large table some pages are read. Views and queries have none: all of their rows are, as those of a large table
    are where no page had one that holds, which takes no time if an index finds it.
    """
    pages = _pages(connection, source)
    if pages is not None and pages > _FEW_PAGES:
        found: list[tuple[Any, ...]] = []
        for wanted in _SAMPLED_PAGES:
            share = sql.SQL("TABLESAMPLE SYSTEM ({})").format(sql.Literal(min(100.0, 100.0 * wanted / pages)))
            found = connection.execute(_query(source, share, shown, conditions, rows)).fetchall()
            if 2 * len(found) >= rows:
                break
        if found:
            return found
    return connection.execute(_query(source, sql.SQL(""), shown, conditions, rows)).fetchall()


def newest_rows(
    connection: psycopg.Connection[Any],
    source: PostgreSQLSource,
    shown: Sequence[sql.Composable],
    conditions: Sequence[sql.Composable],
    event: sql.Composable,
    rows: int,
) -> list[tuple[Any, ...]]:
    """The same of the rows with the latest `event`: a look into its index, or else through all rows."""
    latest = sql.SQL("{} DESC").format(event)
    return connection.execute(_query(source, sql.SQL(""), shown, conditions, rows, latest)).fetchall()


def _pages(connection: psycopg.Connection[Any], source: PostgreSQLSource) -> float | None:
    """How many pages a table has; None for what is none."""
    table = source._postgres_options._table
    # A source may name what has columns and is no table, such as a call; the settings of the session must survive that.
    with contextlib.suppress(psycopg.Error), connection.transaction():
        row = connection.execute(_PAGES, (table,)).fetchone() if table else None
        return None if row is None or row[0] is None else float(row[0])
    return None


def _query(
    source: PostgreSQLSource,
    share: sql.Composable,
    shown: Sequence[sql.Composable],
    conditions: Sequence[sql.Composable],
    rows: int,
    order: sql.Composable = _BY_CHANCE,
) -> sql.Composed:
    # In the server: PostgreSQL keeps the rows that come first in this order, and no others.
    return sql.SQL(
        "SELECT DISTINCT * FROM (SELECT {} FROM {} AS _source {} WHERE {} ORDER BY {} LIMIT {}) AS _some"
    ).format(
        sql.SQL(", ").join(shown),
        sql.SQL(source.get_table_query_string()),
        share,
        sql.SQL(" AND ").join(conditions),
        order,
        sql.Literal(rows),
    )
