"""An online store that is not ours, as the freshness probe reads it: beside those who serve from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import get_online_store_from_config

from app.domain import EntityKey, ViewSpec, to_microseconds
from app.errors import NotFoundError, StoreUnavailableError
from app.stores.protos import decode_row, encode_key

_CONNECTIONS = ("_conn", "_conn_pool", "_client")
"""Where Feast's stores keep what they never close."""


class AskedStore:
    """Implements AskedStore of app.stores.asked_sample, by a store object of its own.

    Feast's objects are made for one thread, and some lose a connection of their pool with every read that fails: what
    goes wrong here must not reach the requests.
    """

    def __init__(self, config: RepoConfig, feast_views: Callable[[], Mapping[str, FeatureView]]) -> None:
        """`feast_views` gives Feast's views by `ViewSpec.stored_as`. Nothing is connected yet."""
        self._config = config
        self._feast_views = feast_views
        self._store: Any = None

    def moments(self, view: ViewSpec, keys: Sequence[EntityKey]) -> list[int | None]:
        """See the protocol."""
        table = self._feast_views().get(view.stored_as)
        if table is None:
            raise NotFoundError(f"The registry has no feature view {view.stored_as}")
        # The timestamp belongs to the row; a feature that was added of late may be missing at either end.
        names = [feature.name for feature in table.features]
        wanted = list(dict.fromkeys([*names[:1], *names[-1:]]))
        try:
            if self._store is None:
                self._store = get_online_store_from_config(self._config.online_store)
            protos = [encode_key(key, [field.dtype for field in view.join_keys]) for key in keys]
            found = self._store.online_read(self._config, table, protos, wanted)
        except Exception as error:  # whatever this store's driver raises
            self._forget()
            raise StoreUnavailableError(f"The online store failed ({type(error).__name__})") from error
        rows = [decode_row(*answer) for answer in found]
        return [None if row is None else to_microseconds(row.event_timestamp) for row in rows]

    def _forget(self) -> None:
        """Let the next read begin with an object, and connections, that nothing has happened to."""
        store, self._store = self._store, None
        for name in _CONNECTIONS:
            with contextlib.suppress(Exception):
                getattr(store, name).close()
