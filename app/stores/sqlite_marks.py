"""Marks of writes in Feast's SQLite tables: one more row of the view, under a key that no entity has.

There it is gone with the table, whoever drops or empties it, and stock Feast, which looks rows up by their keys, never
reads it.
"""

from __future__ import annotations

import sqlite3

from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from app.stores.marks import Mark
from app.stores.sqlite_clock import stock_seconds

MARK_KEY = b""
"""The key of the mark's row. Serialized keys of entities begin with their number of join keys."""
_FEATURE = "_fm"


def read_mark(connection: sqlite3.Connection, table: str) -> Mark | None:
    """The mark in a table, whose name comes quoted. Raises sqlite3's errors."""
    found = connection.execute(
        f"SELECT value FROM {table} WHERE entity_key = ? AND feature_name = ?",  # noqa: S608
        (MARK_KEY, _FEATURE),
    ).fetchone()
    return None if found is None else Mark(*ValueProto.FromString(found[0]).int64_list_val.val)


def keep_mark(connection: sqlite3.Connection, table: str, mark: Mark) -> None:
    """Merge a mark into the one that is there, inside the caller's transaction. Raises sqlite3's errors."""
    before = read_mark(connection, table)
    merged = mark if before is None else before.merged(mark)
    value = ValueProto()
    value.int64_list_val.val.extend([merged.newest, merged.last_write, merged.rows])
    connection.execute(
        f"INSERT INTO {table} (entity_key, feature_name, value, event_ts) VALUES (?, ?, ?, ?) "  # noqa: S608
        "ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts",
        (MARK_KEY, _FEATURE, value.SerializeToString(), stock_seconds(merged.newest)),
    )
