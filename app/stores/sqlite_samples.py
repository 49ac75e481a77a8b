"""Samples of views in Feast's SQLite tables, whoever wrote their rows, without walking through a large one."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence

from app.freshness.ports import ViewSample
from app.stores.key_readers import KeyReader
from app.stores.sqlite_clock import exact_moment
from app.stores.sqlite_marks import MARK_KEY

_CHANCE = random.Random()  # noqa: S311 - a sample, no secret
"""Of our own: a background look must not change the numbers that somebody else has seeded."""
# SQLite's default limit of bound parameters is 32,766.
_KEYS_PER_QUERY = 5_000
_TRIES_PER_ENTITY = 3
"""A row that is picked may be of an entity that has been picked before."""


def sample_table(
    connection: sqlite3.Connection, table: str, clock: str, reader: KeyReader, entities: int
) -> ViewSample:
    """At most `entities` of a table, whose name comes quoted; `clock` is the feature name of the clocks in it.

    Raises sqlite3's errors.
    """
    # The index has the keys in order, so that this looks at as many rows as these entities have.
    found = connection.execute(
        f"SELECT DISTINCT entity_key FROM {table} WHERE entity_key != ? LIMIT ?",  # noqa: S608
        (MARK_KEY, entities + 1),
    )
    keys = [key for (key,) in found]
    whole = len(keys) <= entities
    if not whole:
        keys = _random_keys(connection, table, entities)
    moments = _moments(connection, table, clock, keys)
    rows = [(entity, moments[key]) for key in keys if key in moments and (entity := reader.read(key)) is not None]
    return ViewSample([entity for entity, _ in rows], [moment for _, moment in rows], whole)


def _random_keys(connection: sqlite3.Connection, table: str, count: int) -> list[bytes]:
    """Keys of random rows: an entity has as many as any other, one per feature, wherever they are in the file.

    Fewer, or none, where somebody empties the table meanwhile."""
    first, last = connection.execute(f"SELECT min(rowid), max(rowid) FROM {table}").fetchone()  # noqa: S608
    keys: dict[bytes, None] = {}
    if first is None:
        return []
    for _ in range(_TRIES_PER_ENTITY * count):
        place = _CHANCE.randint(first, last)
        row = connection.execute(
            f"SELECT entity_key FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT 1",  # noqa: S608
            (place,),
        ).fetchone()
        if row is not None and row[0] != MARK_KEY:
            keys[row[0]] = None
        if len(keys) == count:
            break
    return list(keys)


def _moments(connection: sqlite3.Connection, table: str, clock: str, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Event timestamps in microseconds since 1970 (UTC), of the keys that have a row."""
    seconds: dict[bytes, int | None] = {}
    clocks: dict[bytes, bytes] = {}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        chunk = keys[start : start + _KEYS_PER_QUERY]
        among = ",".join("?" * len(chunk))
        seconds |= connection.execute(
            f"SELECT entity_key, max(CASE WHEN feature_name != ? THEN event_ts END) FROM {table} "  # noqa: S608
            f"WHERE entity_key IN ({among}) GROUP BY entity_key",
            (clock, *chunk),
        )
        clocks |= connection.execute(
            f"SELECT entity_key, value FROM {table} WHERE entity_key IN ({among}) AND feature_name = ?",  # noqa: S608
            (*chunk, clock),
        )
    return {key: exact_moment(clocks.get(key), latest) for key, latest in seconds.items()}
