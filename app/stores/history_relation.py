"""The rows of a view as the point-in-time join wants them, from a relation with the columns of the view's source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from app.domain import ViewSpec
from app.errors import ConfigurationError
from app.exports.ports import Scope
from app.exports.sql import moment, quoted
from app.stores.offline_columns import SourceNames
from app.stores.stored_columns import as_key, as_moment, key_type, refuse_unlike_case


def make_rows(
    engine: duckdb.DuckDBPyConnection,
    name: str,
    view: ViewSpec,
    relation: str,
    scope: Scope,
    columns: Sequence[str],
) -> None:
    """Make `name` of `relation`, which has the columns of the source: see app.exports.ports.OfflineHistory.attach.
    `columns` are these columns as the source spells them.

    Raises ConfigurationError where a key or time is not among them, or where two that differ in case alone could be
    meant.
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
    features = [names.stored(field.name) for field in view.features]
    refuse_unlike_case(view.source.name, [*keys, *times, *features], columns)
    made = as_moment(names.created, stored[names.created]) if names.created else "CAST(NULL AS TIMESTAMPTZ)"
    fields = zip(view.join_keys, keys, strict=True)
    shown = [
        *(f"{as_key(field, column, stored[column])} AS k{n}" for n, (field, column) in enumerate(fields)),
        f"{as_moment(names.event, stored[names.event])} AS t",
        f"{made} AS c",
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


def _feature(column: str, stored: Mapping[str, str]) -> str:
    # A feature that was added after the last row was written is null in all of them.
    return quoted(column) if column in stored else "NULL"


def make_no_rows(engine: duckdb.DuckDBPyConnection, name: str, view: ViewSpec) -> None:
    """Make `name` for a source that was never written."""
    columns = [
        *(f"CAST(NULL AS {key_type(field)}) AS k{n}" for n, field in enumerate(view.join_keys)),
        "CAST(NULL AS TIMESTAMPTZ) AS t",
        "CAST(NULL AS TIMESTAMPTZ) AS c",
        *(f"NULL AS f{n}" for n in range(len(view.features))),
    ]
    engine.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(columns)} WHERE FALSE")
