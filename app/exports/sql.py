"""Names and values as DuckDB's SQL spells them, for where a statement takes no parameters."""

from __future__ import annotations

from datetime import UTC, datetime


def quoted(name: str) -> str:
    """A name of a column or relation."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text."""
    return "'" + value.replace("'", "''") + "'"


def texts(values: list[str]) -> str:
    """A list of texts."""
    return "[" + ", ".join(map(text, values)) + "]"


def moment(value: datetime) -> str:
    """A time with a zone, as TIMESTAMPTZ."""
    return f"TIMESTAMPTZ '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
