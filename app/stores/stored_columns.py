"""Columns of a source as DuckDB sees them, brought to what the point-in-time join compares."""

from __future__ import annotations

from collections.abc import Iterable

from app.domain import FieldSpec
from app.errors import ConfigurationError
from app.exports.sql import quoted

KEY_TYPES = {
    "INT32": "INTEGER",
    "INT64": "BIGINT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "BOOL": "BOOLEAN",
    "BYTES": "BLOB",
    "UNIX_TIMESTAMP": "TIMESTAMPTZ",
}
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_REALS = ("FLOAT", "DOUBLE")
_NANOSECONDS = ("TIMESTAMP_NS", "TIMESTAMPTZ_NS")


def key_type(field: FieldSpec) -> str:
    """DuckDB's type for a join key."""
    return KEY_TYPES.get(field.dtype, "VARCHAR")


def as_key(field: FieldSpec, column: str, stored: str) -> str:
    """A join key in the type of its view; null, which is nobody's key, where it is no value of that type.

    DuckDB's casts alone would round 1.5, and take true for 1.
    """
    wanted, name = key_type(field), quoted(column)
    if stored == wanted:
        return name
    cast = f"TRY_CAST({name} AS {wanted})"
    if wanted in _INTEGERS:
        whole = "FALSE"
        if stored in _INTEGERS:
            whole = "TRUE"
        elif stored in _REALS or stored.startswith("DECIMAL"):
            whole = f"{name} = trunc({name})"
        elif stored == "VARCHAR":
            whole = f"regexp_full_match({name}, '-?[0-9]+')"
        return f"CASE WHEN {whole} THEN {cast} END"
    if wanted == "VARCHAR" and stored in _REALS:
        # As Arrow writes it, by which materialized keys become text: 7, not 7.0.
        whole = f"{name} = trunc({name}) AND abs({name}) < 1e15"
        return f"CASE WHEN {whole} THEN CAST({name}::BIGINT AS VARCHAR) ELSE {cast} END"
    return cast


def as_moment(column: str, stored: str) -> str:
    """A time in UTC, truncated to microseconds towards the past (rule 1); DuckDB's cast would round nanoseconds."""
    name = quoted(column)
    if stored not in _NANOSECONDS:
        return f"CAST({name} AS TIMESTAMPTZ)"
    nanoseconds = f"epoch_ns({name})"
    return f"make_timestamptz(({nanoseconds} - (({nanoseconds} % 1000) + 1000) % 1000) // 1000)"


def refuse_unlike_case(source: str, wanted: Iterable[str], present: Iterable[str]) -> None:
    """Raise ConfigurationError where a wanted column has a namesake in other letters: DuckDB takes them for one."""
    spelled: dict[str, list[str]] = {}
    for name in dict.fromkeys(present):
        spelled.setdefault(name.lower(), []).append(name)
    for name in wanted:
        if len(found := spelled.get(name.lower(), [])) > 1:
            raise ConfigurationError(
                f"Source {source} has columns that differ in case alone: {', '.join(found)}; rename one"
            )
