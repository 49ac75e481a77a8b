"""One opened repo and its stores, for the commands that work on them without serving."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc
from feast import FeatureView

from app.domain import Catalog, ViewSpec
from app.errors import ConfigurationError, NotFoundError
from app.freshness.probe import Probe
from app.materializing.materialize import Materializer
from app.settings import Settings
from app.stores.asked_entities import AskedEntities
from app.stores.asked_sample import AskedSampler
from app.stores.asked_store import AskedStore
from app.stores.catalog import RegistryReader
from app.stores.history import FeastHistory
from app.stores.metadata import MetadataStore, open_metadata
from app.stores.offline import FeastOfflineStore
from app.stores.offline_sample import StoredOfflineSampler
from app.stores.online import FeastOnlineStore
from app.stores.repo import FeastRepo, open_repo
from app.stores.watermarks import StoredWatermarks

_LEAST_SECONDS_FOR_A_LOOK = 10.0


@dataclass(frozen=True)
class Deployment:
    """The parts that a command needs. `catalog` is read once, when the command starts, and with it
    `feast_views`, by `ViewSpec.stored_as`."""

    settings: Settings
    repo: FeastRepo
    metadata: MetadataStore
    online: FeastOnlineStore
    offline: FeastOfflineStore
    history: FeastHistory
    catalog: Catalog
    feast_views: Mapping[str, FeatureView]
    materializer: Materializer

    def view(self, name: str) -> ViewSpec:
        """The feature view of that name. Raises NotFoundError that lists the known ones."""
        if name not in self.catalog.views:
            known = ", ".join(self.catalog.views) or "none yet; run `freshet apply`"
            raise NotFoundError(f"There is no feature view {name}. Known: {known}")
        return self.catalog.views[name]

    def newest_key(self, view: ViewSpec, at: datetime) -> tuple[Any, ...] | None:
        """The join key values of one entity with a row at `at`, the first in their order; None where there is none."""
        names = [field.name for field in view.join_keys]
        table = self.offline.newest(view, datetime(1970, 1, 1, tzinfo=UTC), at).select([*names, "event_timestamp"])
        newest = pc.max(table["event_timestamp"]) if table.num_rows else None
        rows = table.filter(pc.equal(table["event_timestamp"], newest)).select(names).to_pylist() if newest else []
        keys = sorted((tuple(row.values()) for row in rows if None not in row.values()), key=str)
        return keys[0] if keys else None


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def migrated_metadata(settings: Settings) -> MetadataStore:
    """The metadata database. Raises ConfigurationError where it has yet to be migrated, with the command for it."""
    metadata = open_metadata(settings)
    if not metadata.is_current():
        raise ConfigurationError(
            "The metadata database has not been migrated; run `freshet db upgrade`, or set FRESHET_AUTO_MIGRATE=true"
        )
    return metadata


def freshness_probe(
    settings: Settings,
    repo: FeastRepo,
    online: FeastOnlineStore,
    metadata: MetadataStore,
    feast_views: Callable[[], Mapping[str, FeatureView]],
) -> Probe:
    """The probe of how fresh the data of an online store are. `feast_views` gives Feast's views by
    `ViewSpec.stored_as`."""
    watermarks = StoredWatermarks(metadata, repo.project)
    return Probe(
        online if online.can_be_sampled else asked_sampler(settings, repo, online, feast_views),
        watermarks.moments,
        settings.freshness_sample,
        settings.freshness_interval,
        settings.max_clock_skew,
        now,
    )


def asked_sampler(
    settings: Settings,
    repo: FeastRepo,
    online: FeastOnlineStore,
    feast_views: Callable[[], Mapping[str, FeatureView]],
) -> AskedSampler:
    """Samples an online store that is not ours by asking for entities of the offline store."""
    # A look is over before the next one is due, unless that leaves no time to connect anywhere.
    seconds = max(settings.freshness_interval.total_seconds(), _LEAST_SECONDS_FOR_A_LOOK)
    # Half of the time is for three questions about one view, begun at the last moment of the first half.
    each = seconds / 8
    history = FeastHistory(repo.store.config, feast_views, each, repo.store.registry)
    offline = StoredOfflineSampler(repo.store.config, feast_views, history, each)
    store, entities = AskedStore(repo.store.config, feast_views), AskedEntities(offline, feast_views, now)
    return AskedSampler(store, entities, online.marks, seconds)


@contextlib.contextmanager
def deployment(settings: Settings, repo: FeastRepo | None = None) -> Iterator[Deployment]:
    """Open everything, and close it again. Raises ConfigurationError or StoreUnavailableError, in one line each."""
    repo = repo or open_repo(settings)
    metadata = migrated_metadata(settings)
    online, offline = FeastOnlineStore(repo, settings.online_timeout), FeastOfflineStore(repo)
    snapshot = RegistryReader(repo).read()
    online.use(snapshot.feast_views, snapshot.catalog.views.values())
    offline.use(snapshot.feast_views)

    def record(view: ViewSpec, start: datetime, end: datetime) -> None:
        feast_view: FeatureView = snapshot.feast_views[view.name]
        repo.store.registry.apply_materialization(feast_view, repo.project, start, end)

    history = FeastHistory(repo.store.config, lambda: snapshot.feast_views, registry=repo.store.registry)
    materializer = Materializer(repo.project, offline, online, metadata, now, settings.materialize_overlap, record)
    try:
        yield Deployment(
            settings,
            repo,
            metadata,
            online,
            offline,
            history,
            snapshot.catalog,
            snapshot.feast_views,
            materializer,
        )
    finally:
        online.close()
        offline.close()
        metadata.close()
        repo.close()
