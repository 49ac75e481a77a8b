"""A repo and its online store, opened for as long as a worker lives."""

from __future__ import annotations

from app.deployment import freshness_probe
from app.domain import Catalog
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.metadata import MetadataStore
from app.stores.online import FeastOnlineStore
from app.stores.repo import open_repo


class OpenedRepo:
    """What a probe needs. For one thread. Raises ConfigurationError or StoreUnavailableError, in one line each."""

    def __init__(self, settings: Settings, metadata: MetadataStore) -> None:
        repo = open_repo(settings)
        self._repo = repo
        self._online = FeastOnlineStore(repo, settings.online_timeout)
        self._reader = RegistryReader(repo)
        self._fingerprint: str | None = None
        self._catalog: Catalog | None = None
        self.probe = freshness_probe(settings, self._online, metadata, repo.project)

    def catalog(self) -> Catalog:
        """The catalog as the registry has it now. Blocks; raises what the registry raises."""
        fingerprint = self._reader.fingerprint()
        if self._catalog is None or fingerprint != self._fingerprint:
            snapshot = self._reader.read()
            self._online.use(snapshot.feast_views, snapshot.catalog.views.values())
            self._catalog, self._fingerprint = snapshot.catalog, fingerprint
        return self._catalog

    def close(self) -> None:
        """Close the connections."""
        self._online.close()
        self._repo.close()
