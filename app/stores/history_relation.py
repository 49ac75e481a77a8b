"""The rows of a view as the point-in-time join wants them, from a relation with the columns of the view's source."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from app.domain import FieldSpec, ViewSpec
from app.errors import ConfigurationError
from app.exports.ports import Scope
from app.exports.sql import moment, quoted
from app.stores.offline_columns import SourceNames

_TYPES = {
    "INT32": "INTEGER",
    "INT64": "BIGINT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "BOOL": "BOOLEAN",
    "BYTES": "BLOB",
    "UNIX_TIMESTAMP": "TIMESTAMPTZ",
}
_REALS = ("FLOAT", "DOUBLE")


def make_rows(engine: duckdb.DuckDBPyConnection, name: str, view: ViewSpec, relation: str, scope: Scope) -> None:
    """Make `name` of `relation`, which has the columns of the source: see app.exports.ports.OfflineHistory.attach.

    Raises ConfigurationError where a key or time is not among them.
    """
    stored = {str(name): str(kind) for name, kind, *_ in engine.execute(f"DESCRIBE {relation}").fetchall()}
    if view.source is None:
        raise ConfigurationError(f"Feature view {view.name} has no batch source")
    names = SourceNames(view)
    times = [names.event, *([names.created] if names.created else [])]
    keys = [names.stored(field.name) for field in view.join_keys]
    missing = [column for column in [*keys, *times] if column not in stored]
    if missing:
        raise ConfigurationError(f"Source {view.source.name} has no column {', '.join(missing)}")
    made = quoted(names.created) if names.created else "NULL"
    fields = zip(view.join_keys, keys, strict=True)
    shown = [
        *(f"{_key(field, column, stored)} AS k{n}" for n, (field, column) in enumerate(fields)),
        f"CAST({quoted(names.event)} AS TIMESTAMPTZ) AS t",
        f"CAST({made} AS TIMESTAMPTZ) AS c",
        *(f"{_feature(names.stored(field.name), stored)} AS f{n}" for n, field in enumerate(view.features)),
    ]
    known = f"(SELECT {', '.join(shown)} FROM {relation}){_among(engine, name, scope)}"  # noqa: S608
    engine.execute(f"CREATE TEMP VIEW {name} AS {_in_scope(known, view, scope)}")


def _in_scope(known: str, view: ViewSpec, scope: Scope) -> str:
    counted = "TRUE" if scope.created_until is None else f"(c IS NULL OR c <= {moment(scope.created_until)})"
    rows = f"SELECT * FROM {known} WHERE {counted} AND t <= {moment(scope.latest)}"  # noqa: S608
    if scope.earliest is None:
        return rows
    keys = [f"k{n}" for n in range(len(view.join_keys))]
    older = [*keys, "min(t)", "min(greatest(t, c))", *("NULL" for _ in view.features)]
    return (
        f"{rows} AND t >= {moment(scope.earliest)} UNION ALL SELECT {', '.join(older)} FROM {known}"  # noqa: S608
        f" WHERE {counted} AND t < {moment(scope.earliest)}{' GROUP BY ' if keys else ''}{', '.join(keys)}"
    )


def _among(engine: duckdb.DuckDBPyConnection, name: str, scope: Scope) -> str:
    if scope.keys is None:
        return ""
    engine.register(f"wanted_{name}", scope.keys)
    return f" SEMI JOIN wanted_{name} USING ({', '.join(scope.keys.column_names)})"


def _key(field: FieldSpec, column: str, stored: Mapping[str, str]) -> str:
    """A join key in the type of its view; null, which is nobody's key, where it is none."""
    wanted = _TYPES.get(field.dtype, "VARCHAR")
    if stored[column] == wanted:
        return quoted(column)
    cast = f"TRY_CAST({quoted(column)} AS {wanted})"
    if stored[column] in _REALS and wanted not in _REALS:
        # pandas makes reals of integers next to a missing one. A cast alone would round.
        return f"CASE WHEN {quoted(column)} = trunc({quoted(column)}) THEN {cast} END"
    return cast


def _feature(column: str, stored: Mapping[str, str]) -> str:
    # A feature that was added after the last row was written is null in all of them.
    return quoted(column) if column in stored else "NULL"


def make_no_rows(engine: duckdb.DuckDBPyConnection, name: str, view: ViewSpec) -> None:
    """Make `name` for a source that was never written."""
    columns = [
        *(f"CAST(NULL AS {_TYPES.get(field.dtype, 'VARCHAR')}) AS k{n}" for n, field in enumerate(view.join_keys)),
        "CAST(NULL AS TIMESTAMPTZ) AS t",
        "CAST(NULL AS TIMESTAMPTZ) AS c",
        *(f"NULL AS f{n}" for n in range(len(view.features))),
    ]
    engine.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(columns)} WHERE FALSE")
