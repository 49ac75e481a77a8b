"""Rows pulled out of Parquet files by DuckDB."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from app.arrow_columns import UTC_MICROS
from app.errors import ConfigurationError
from app.exports.sql import quoted
from app.stores.offline_sources import reading
from app.stores.parquet_relation import parquet_query
from app.stores.pulled import Pull
from app.stores.stored_columns import as_moment, refuse_unlike_case


def pull_from_files(pull: Pull) -> pa.Table:
    """The rows, their times as UTC microseconds; none where nothing was ever written.

    Raises ConfigurationError where a key or time is not among the columns of the files.
    """
    with reading(pull.config, pull.source) as files, duckdb.connect() as connection:
        if not files:
            return _empty(pull)
        connection.execute("SET TimeZone = 'UTC'")
        scan, spelled = parquet_query(connection, pull.source.name, files)
        connection.execute(f"CREATE TEMP VIEW stored AS {scan}")
        present = _columns(connection, pull)
        refuse_unlike_case(pull.source.name, pull.columns([*present]), spelled)
        return connection.sql(_query(pull, present), params=[moment for _, moment in pull.bounds]).to_arrow_table()


def _columns(connection: duckdb.DuckDBPyConnection, pull: Pull) -> dict[str, str]:
    """The columns of the files and their types."""
    present = {str(name): str(kind) for name, kind, *_ in connection.execute("DESCRIBE stored").fetchall()}
    missing = [name for name in [*pull.keys, *pull.times] if name not in present]
    if missing:
        raise ConfigurationError(f"Source {pull.source.name} has no column {', '.join(missing)}")
    return present


def _query(pull: Pull, present: Mapping[str, str]) -> str:
    def shown(name: str) -> str:
        if name in pull.times:
            return f"{as_moment(name, present[name])} AS {quoted(name)}"
        # A feature that was added after the last row was written is null in all of them.
        return quoted(name) if name in present else f"NULL AS {quoted(name)}"

    columns = pull.columns([*present])
    bounds = [f"{quoted(pull.timestamp)} {sign} ${place}" for place, (sign, _) in enumerate(pull.bounds, start=1)]
    query = (
        f"SELECT {', '.join(map(quoted, columns))} FROM"  # noqa: S608
        f" (SELECT {', '.join(map(shown, columns))} FROM stored)"
        f" WHERE {' AND '.join(bounds) or 'TRUE'}"
    )
    if not pull.newest:
        return query
    # Among equal times the greatest values win, so that every run picks the same row.
    order = ", ".join(f"{quoted(name)} DESC NULLS LAST" for name in [*pull.times, *pull.features])
    keys = ", ".join(map(quoted, pull.keys)) or "1"
    return f"{query} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"


def _empty(pull: Pull) -> pa.Table:
    return pa.table({name: pa.array([], UTC_MICROS if name in pull.times else pa.null()) for name in pull.columns([])})
