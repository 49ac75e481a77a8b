"""The registry of a server: catalogs for its plans, and word of finished materializations for the registry."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime

from feast import FeatureView

from app.domain import Catalog, ViewSpec
from app.pushing.push import count_from_zero
from app.stores.catalog import RegistryReader
from app.stores.offline import FeastOfflineStore
from app.stores.online import FeastOnlineStore
from app.stores.repo import FeastRepo


class RegistryCatalogs:
    """Implements app.serving.refresh.CatalogSource; lets the store adapters take over each new catalog's views, and
    tells the registry of finished materializations."""

    def __init__(self, repo: FeastRepo, online: FeastOnlineStore, offline: FeastOfflineStore) -> None:
        self._repo, self._reader = repo, RegistryReader(repo)
        self._online, self._offline = online, offline
        self._fingerprint: str | None = None
        self._views: Mapping[str, FeatureView] = {}
        # A file registry is kept in memory as one message, which must not be replaced while it is changed.
        self._lock = threading.Lock()

    def changed(self) -> Catalog | None:
        """The catalog if the registry has changed since the last call, else None."""
        with self._lock:
            fingerprint = self._reader.fingerprint()
            if fingerprint == self._fingerprint:
                return None
            snapshot = self._reader.read()
            self._online.use(snapshot.feast_views, snapshot.catalog.views.values())
            self._offline.use(snapshot.feast_views)
            count_from_zero(snapshot.catalog.push_sources)
            self._fingerprint, self._views = fingerprint, snapshot.feast_views
            return snapshot.catalog

    def feast_views(self) -> Mapping[str, FeatureView]:
        """Feast's view objects of the last catalog, by `ViewSpec.stored_as`."""
        return self._views

    def record(self, view: ViewSpec, start: datetime, end: datetime) -> None:
        """Tell the registry that the view has been materialized for this window."""
        with self._lock:
            self._repo.store.registry.apply_materialization(self._views[view.name], self._repo.project, start, end)
