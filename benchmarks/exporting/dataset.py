"""What is exported: the history of two feature views and the spines that ask for it, as Parquet.

Everything is a function of the row's number. A spine has a column ROW, that number, so that each row of a result can
be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

ENTITY = "user_id"
ROW = "spine_row"
SERVICE = "training"
DAYS = 90
"""Of history; spines ask for moments all over it."""
TTL_DAYS = 30
_START = "TIMESTAMPTZ '2026-06-01 00:00:00+00'"
_CORRECTED = "(i % 1000 = 1)::INT"
_REPEATED = "(i % 10000 = 3)::INT"
_UNKNOWN = 1.05
"""Spines ask for so many times the entities that have a history."""


@dataclass(frozen=True)
class HistoryView:
    """A feature view: `fields` maps features to Feast's types, `makers` to what they are of a row's number `i`."""

    name: str
    fields: dict[str, str]
    makers: dict[str, str]


ACTIVITY = HistoryView(
    "activity",
    {"sessions_7d": "Int64", "spent_7d": "Float64", "last_model": "String", "subscriber": "Bool"},
    {
        "sessions_7d": "(hash(i, 11) % 400)::BIGINT",
        "spent_7d": "CASE WHEN hash(i, 12) % 50 > 0 THEN (hash(i, 13) % 1000000) / 100.0::DOUBLE END",
        "last_model": "['heron-mini', 'heron-large', 'osprey', 'wren'][1 + (hash(i, 14) % 4)::INT]",
        "subscriber": "hash(i, 15) % 3 = 0",
    },
)
PROFILE = HistoryView(
    "profile",
    {"country": "String", "age_days": "Int64", "score": "Float64", "device": "String", "messages": "Int64"},
    {
        "country": "CASE WHEN hash(i, 21) % 50 > 0 THEN ['AR', 'AT', 'BR', 'CH', 'DE', 'FR', 'IN', 'US']"
        "[1 + (hash(i, 22) % 8)::INT] END",
        "age_days": "(hash(i, 23) % 3000)::BIGINT",
        "score": "(hash(i, 24) % 1000000) / 1000000.0::DOUBLE",
        "device": "'device-' || (hash(i, 25) % 5000)",
        "messages": "(hash(i, 26) % 1099511627776)::BIGINT",
    },
)
VIEWS = (ACTIVITY, PROFILE)
FEATURES = [(view, feature) for view in VIEWS for feature in view.fields]
"""In the order of the feature service."""


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything."""

    entities: int = 100_000
    activity: int = 300_000
    profile: int = 1_000_000

    def rows(self, view: HistoryView) -> int:
        """Of the history of a view."""
        return self.activity if view is ACTIVITY else self.profile


def write_history(path: Path, view: HistoryView, sizes: Sizes) -> None:
    """Rows of random entities at random moments, known a little later. One in a thousand repeats the entity and the
    moment of the row before and was created an hour after it; one in ten thousand repeats that time as well."""
    salt = VIEWS.index(view) + 1
    first = f"(i - {_CORRECTED} - {_REPEATED})"
    happened = _moment(f"hash({first}, {salt}, 1)")
    makers = ", ".join(f"{maker} AS {name}" for name, maker in view.makers.items())
    _write(
        path,
        f"SELECT {_entity(f'hash({first}, {salt}, 0)', sizes.entities)}, {happened} AS event_timestamp,"
        f" {happened} + to_seconds((hash({first}, {salt}, 2) % 3600)::INT)"
        f" + to_hours({_CORRECTED}) AS created, {makers} FROM range({sizes.rows(view)}) AS numbers(i)",
    )


def write_spine(path: Path, rows: int, sizes: Sizes) -> None:
    """That many random entities, one in twenty unknown, at random moments."""
    entity = _entity("hash(i, 5, 0)", int(sizes.entities * _UNKNOWN))
    _write(
        path,
        f"SELECT i AS {ROW}, {entity}, {_moment('hash(i, 5, 1)')} AS event_timestamp FROM range({rows}) AS n(i)",
    )


def _entity(drawn: str, entities: int) -> str:
    return f"format('u{{:07d}}', {drawn} % {entities}) AS {ENTITY}"


def _moment(drawn: str) -> str:
    return f"{_START} + to_microseconds(({drawn} % {DAYS * 86_400_000_000})::BIGINT)"


def _write(path: Path, query: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
