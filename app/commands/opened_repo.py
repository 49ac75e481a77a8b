"""A repo and its online store, opened for as long as a worker lives."""

from __future__ import annotations

from collections.abc import Mapping

from feast import FeatureView

from app.deployment import freshness_probe
from app.domain import Catalog
from app.settings import Settings
from app.stores.catalog import CatalogSnapshot, RegistryReader
from app.stores.metadata import MetadataStore
from app.stores.online import FeastOnlineStore
from app.stores.repo import open_repo


class OpenedRepo:
    """What a probe needs. For one thread. Raises ConfigurationError or StoreUnavailableError, in one line each."""

    def __init__(self, settings: Settings, metadata: MetadataStore) -> None:
        self.repo = open_repo(settings)
        self.online = FeastOnlineStore(self.repo, settings.online_timeout)
        self._reader = RegistryReader(self.repo)
        self._fingerprint: str | None = None
        self._snapshot: CatalogSnapshot | None = None
        self.probe = freshness_probe(settings, self.repo, self.online, metadata, self.feast_views)

    def catalog(self) -> Catalog:
        """The catalog as the registry has it now. Blocks; raises what the registry raises."""
        return self._read().catalog

    def feast_views(self) -> Mapping[str, FeatureView]:
        """Feast's view objects of the last catalog, by `ViewSpec.stored_as`. Blocks; raises as `catalog` does."""
        return (self._snapshot or self._read()).feast_views

    def _read(self) -> CatalogSnapshot:
        fingerprint = self._reader.fingerprint()
        if self._snapshot is None or fingerprint != self._fingerprint:
            snapshot = self._reader.read()
            self.online.use(snapshot.feast_views, snapshot.catalog.views.values())
            self._snapshot, self._fingerprint = snapshot, fingerprint
        return self._snapshot

    def close(self) -> None:
        """Close the connections."""
        self.online.close()
        self.repo.close()
