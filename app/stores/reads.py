"""Which way an online store is read: ours for Redis and SQLite, Feast's interface for every other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from feast import FeatureView, RepoConfig

from app.planning.selection import ViewRead
from app.serving.ports import PreparedRead
from app.stores.feast_reads import FeastRead
from app.stores.online_redis import RedisOnlineStore
from app.stores.online_sqlite import SqliteOnlineStore
from app.stores.read_threads import ReadThreads
from app.stores.redis_open import open_channels
from app.stores.redis_reads import RedisRead
from app.stores.sqlite_reads import SqliteRead

_THREADS = 8

Views = Sequence[tuple[ViewRead, FeatureView]]


class Reads(Protocol):
    """Prepares reads, and keeps what they share."""

    def prepare(self, views: Views, stored: Mapping[frozenset[str], int]) -> PreparedRead:
        """`stored` are the numbers of fields kept for an entity, by join keys. Raises NotServableError."""

    async def close(self) -> None:
        """Close every connection; what was prepared before cannot be read any more."""


def open_reads(config: RepoConfig, store: Any, timeout: float) -> Reads:
    """The reads of this store; `timeout` is the deadline of each in seconds. Nothing is connected yet."""
    if isinstance(store, RedisOnlineStore):
        return _RedisReads(config, timeout)
    return _ThreadedReads(config, store, timeout)


class _RedisReads:
    def __init__(self, config: RepoConfig, timeout: float) -> None:
        self._config = config
        self._timeout = timeout
        self._channels = open_channels(config)

    def prepare(self, views: Views, stored: Mapping[frozenset[str], int]) -> PreparedRead:
        return RedisRead(self._config, views, self._channels, self._timeout, stored)

    async def close(self) -> None:
        channels, self._channels = self._channels, open_channels(self._config)
        await channels.close()


class _ThreadedReads:
    def __init__(self, config: RepoConfig, store: Any, timeout: float) -> None:
        self._config = config
        self._store = store
        self._threads = ReadThreads(_THREADS, timeout)

    def prepare(self, views: Views, stored: Mapping[frozenset[str], int]) -> PreparedRead:
        if isinstance(self._store, SqliteOnlineStore):
            return SqliteRead(self._config, views, self._store)
        return FeastRead(self._config, views, self._store, self._threads)

    async def close(self) -> None:
        self._threads.close()
