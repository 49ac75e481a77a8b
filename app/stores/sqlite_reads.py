"""Prepared reads on SQLite: one query per view, in the thread of the event loop.

Not in a thread of its own: sqlite3 gives up and takes back the interpreter's lock for every row, and with the event
loop busy it waits for it each time. 8 clients that read 100 entities each got 3 answers a second that way, and several
hundred this way (docs/adr/0010-hot-path.md). Readers of a WAL file do not wait for its writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from feast import FeatureView, RepoConfig

from app.planning.selection import ViewRead
from app.serving.ports import PreparedRead, ViewColumns
from app.stores.columns import compile_column
from app.stores.keys import compile_keys
from app.stores.online_sqlite import SqliteOnlineStore


class _View:
    """One view of a plan."""

    def __init__(self, config: RepoConfig, read: ViewRead, table: FeatureView) -> None:
        self.encode = compile_keys(read.view.join_keys, read.key_columns, config.entity_key_serialization_version)
        dtypes = {field.name: field.dtype for field in read.view.features}
        self._decoders = [(feature, compile_column(dtypes[feature])) for feature in read.features]
        self._config, self._table, self._features = config, table, read.features

    def fetch(self, store: SqliteOnlineStore, keys: Sequence[bytes]) -> ViewColumns:
        found = store.read_cells(self._config, self._table, keys, self._features)
        rows = [found.get(key) for key in keys]
        values, gaps = [], []
        for feature, decode in self._decoders:
            column, positions = decode([None if row is None else row[1].get(feature) for row in rows])
            values.append(column)
            gaps.append(positions)
        return ViewColumns([None if row is None else row[0] for row in rows], values, gaps)


class SqliteRead(PreparedRead):
    """Implements app.serving.ports.PreparedRead."""

    def __init__(
        self,
        config: RepoConfig,
        views: Sequence[tuple[ViewRead, FeatureView]],
        store: SqliteOnlineStore,
    ) -> None:
        self._views = [_View(config, read, table) for read, table in views]
        self._store = store

    async def fetch(self, entities: Mapping[str, Sequence[Any]], rows: int) -> list[ViewColumns]:
        """See the protocol."""
        # Nothing else here waits, and a big request must let others in between its parts.
        await asyncio.sleep(0)
        return [view.fetch(self._store, view.encode(entities, rows)) for view in self._views]
