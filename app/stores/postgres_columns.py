"""How columns of PostgreSQL are read, so that Arrow, psycopg and DuckDB mean the same by them."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from psycopg.postgres import types

_PLAIN = {"bool", "int2", "int4", "int8", "float4", "float8", "bytea", "timestamptz"}
_TEXTS = {"text", "varchar"}
_REALS = {"FLOAT", "DOUBLE"}
_MOMENTS = {"timestamp", "timestamptz", "date"}


@dataclass(frozen=True)
class PostgresColumn:
    """A column of a table or query, and the OID of its type."""

    name: str
    oid: int

    @property
    def is_integer(self) -> bool:
        """Whether it holds whole numbers."""
        return self._type[0] in ("int2", "int4", "int8")

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self._type[0] in _TEXTS

    @property
    def is_moment(self) -> bool:
        """Whether it holds times or days."""
        name, is_array = self._type
        return name in _MOMENTS and not is_array

    @property
    def _type(self) -> tuple[str, bool]:
        """The name of the type, of its elements where it is an array, and whether it is one; an empty name for types
        that are not PostgreSQL's own."""
        found = types.get(self.oid)
        return ("", False) if found is None else (found.name, found.array_oid == self.oid)

    @property
    def identifier(self) -> sql.Identifier:
        """Its name, quoted."""
        return sql.Identifier(self.name)

    def value(self, dtype: str = "DOUBLE") -> sql.Composable:
        """The column in a type that Arrow has as well: times without a zone as UTC (in a session in UTC), and what only
        PostgreSQL has, JSON among it, as text.

        Numbers with decimals are the floats that features are, unless `dtype`, the type of the feature or key, says
        otherwise: then they are text, which loses nothing, and whole ones have no decimals. An infinite time is null:
        Arrow would make a date of it.
        """
        name, is_array = self._type
        shown = self.identifier
        if name == "numeric" and not is_array and dtype not in _REALS:
            return sql.SQL("CASE WHEN {0} = trunc({0}) THEN trunc({0})::text ELSE {0}::text END").format(shown)
        if name == "numeric":
            wanted = "float8"
        elif self.is_moment:
            return sql.SQL("CASE WHEN isfinite({0}) THEN {0}::timestamptz END").format(shown)
        elif name in _MOMENTS:
            wanted = "timestamptz"
        elif name in _PLAIN or name in _TEXTS:
            return shown
        else:
            wanted = "text"
        return sql.SQL("{}::{}").format(shown, sql.SQL(f"{wanted}[]" if is_array else wanted))

    def order(self) -> sql.Composable:
        """By what its values are ordered among rows that tie: as DuckDB orders them, so that a materialization and an
        export choose the same row."""
        name, _ = self._type
        if name in _PLAIN or name in _MOMENTS or name == "numeric":
            return self.value()
        return sql.SQL('{} COLLATE "C"').format(self.value())
