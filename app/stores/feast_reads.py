"""Prepared reads on every store without an adapter of ours: Feast's own interface, in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feast import FeatureView, RepoConfig

from app.domain import EntityKey, OnlineRow, to_microseconds
from app.errors import StoreUnavailableError
from app.planning.selection import ViewRead
from app.serving.ports import PreparedRead, ViewColumns
from app.stores.protos import decode_row, encode_key
from app.stores.read_threads import ReadThreads


class FeastRead(PreparedRead):
    """Implements app.serving.ports.PreparedRead."""

    def __init__(
        self, config: RepoConfig, views: Sequence[tuple[ViewRead, FeatureView]], store: Any, threads: ReadThreads
    ) -> None:
        self._config = config
        self._views = views
        self._store = store
        self._threads = threads

    async def fetch(self, entities: Mapping[str, Sequence[Any]], rows: int) -> list[ViewColumns]:
        """See the protocol."""
        if not self._views:
            return []
        return await self._threads.run(lambda: [self._read(*view, entities, rows) for view in self._views])

    def _read(
        self, read: ViewRead, table: FeatureView, entities: Mapping[str, Sequence[Any]], rows: int
    ) -> ViewColumns:
        names = tuple(field.name for field in read.view.join_keys)
        dtypes = [field.dtype for field in read.view.join_keys]
        columns = [entities[column] for column in read.key_columns]
        keys = [EntityKey(names, values) for values in zip(*columns, strict=True)] or [EntityKey((), ())] * rows
        unique = list(dict.fromkeys(keys))
        protos = [encode_key(key, dtypes) for key in unique]
        try:
            answers = self._store.online_read(self._config, table, protos, list(read.features))
        except Exception as error:  # whatever this store's driver raises; the cause is in the log
            raise StoreUnavailableError(f"The online store failed ({type(error).__name__})") from error
        by_key = {key: decode_row(*answer) for key, answer in zip(unique, answers, strict=True)}
        found = [by_key[key] for key in keys]
        values = [[None if row is None else row.values.get(feature) for row in found] for feature in read.features]
        gaps = [[row for row, value in enumerate(column) if value is None] for column in values]
        return ViewColumns([_moment(row) for row in found], values, gaps)


def _moment(row: OnlineRow | None) -> int | None:
    return None if row is None else to_microseconds(row.event_timestamp)
