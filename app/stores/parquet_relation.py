"""Parquet files as one relation of DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import ConfigurationError, one_line
from app.exports.sql import quoted, texts


def parquet_query(connection: duckdb.DuckDBPyConnection, source: str, files: Sequence[str]) -> tuple[str, list[str]]:
    """A query for the rows of files, columns by name, and the names of these columns as the files spell them.

    pandas writes integers beside a missing one as reals. DuckDB would make reals of the column in all files, and lose
    what is beyond 2^53: where the reals of a file are whole numbers, they become integers instead.
    Raises ConfigurationError for a file that is not Parquet.
    """
    schemas = {file: _schema(source, file) for file in files}
    names = [name for schema in schemas.values() for name in schema.names]
    mixed = _mixed(schemas.values())
    if not mixed:
        return _scan(files), names
    groups: dict[tuple[str, ...], list[str]] = {}
    for file, schema in schemas.items():
        real = tuple(name for name in mixed if name in schema.names and pa.types.is_floating(schema.field(name).type))
        groups.setdefault(real, []).append(file)
    parts = [_whole(connection, _scan(group), real) for real, group in groups.items()]
    return " UNION ALL BY NAME ".join(parts), names


def _scan(files: Sequence[str]) -> str:
    # A folder id=7 somewhere above the files says nothing about their rows.
    return f"SELECT * FROM read_parquet({texts([*files])}, union_by_name = true, hive_partitioning = false)"  # noqa: S608


def _schema(source: str, file: str) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"A file of source {source} cannot be read as Parquet: {one_line(error)}") from error


def _mixed(schemas: Iterable[pa.Schema]) -> list[str]:
    """Columns that are 64-bit integers in some files and reals in others."""
    kinds: dict[str, set[str]] = {}
    for schema in schemas:
        for field in schema:
            if pa.types.is_int64(field.type) or pa.types.is_uint64(field.type):
                kinds.setdefault(field.name, set()).add("integer")
            elif pa.types.is_floating(field.type):
                kinds.setdefault(field.name, set()).add("real")
    return [name for name, found in kinds.items() if len(found) > 1]


def _whole(connection: duckdb.DuckDBPyConnection, scan: str, columns: Sequence[str]) -> str:
    """The scan with those of these columns as integers that hold nothing else; NaN, a missing one, is null."""
    if not columns:
        return scan
    checks = ", ".join(f"coalesce(bool_and({_is_whole(name)}), TRUE)" for name in columns)
    (found,) = connection.execute(f"SELECT {checks} FROM ({scan})").fetchall()  # noqa: S608
    casts = [
        f"CASE WHEN NOT isnan({quoted(name)}) THEN CAST({quoted(name)} AS BIGINT) END AS {quoted(name)}"
        for name, whole in zip(columns, found, strict=True)
        if whole
    ]
    return f"SELECT * REPLACE ({', '.join(casts)}) FROM ({scan})" if casts else scan  # noqa: S608


def _is_whole(name: str) -> str:
    column = quoted(name)
    return f"isnan({column}) OR ({column} = trunc({column}) AND abs({column}) < 9e18)"
