"""The skew monitor of one process, put together: for a server, and for a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from feast import FeatureView

from app.deployment import now
from app.domain import Catalog
from app.errors import StoreUnavailableError
from app.freshness.ports import OnlineSampler
from app.serving.ports import OnlineReader
from app.settings import Settings
from app.skew.entities import EntitySampler
from app.skew.monitor import SkewMonitor
from app.skew.offline import OfflineSide
from app.skew.online import OnlineSide, Run
from app.skew.probe import SkewProbe
from app.stores.history import FeastHistory
from app.stores.leases import StoredLeases
from app.stores.materialized import StoredMaterialized
from app.stores.metadata import MetadataStore
from app.stores.offline_sample import StoredOfflineSampler
from app.stores.repo import FeastRepo
from app.stores.snapshots import StoredSnapshots

T = TypeVar("T")

_MOST_LONG_STEPS = 6
"""Of one look: a sample, a join and a search for times, and all but the sample once more."""


def skew_monitor(
    settings: Settings,
    repo: FeastRepo,
    metadata: MetadataStore,
    catalog: Callable[[], Catalog],
    feast_views: Callable[[], Mapping[str, FeatureView]],
    online: OnlineReader,
    sampler: OnlineSampler | None,
    run: Run,
    rank: int,
    holder: str,
) -> SkewMonitor:
    """`catalog` and `feast_views` give those in use; `run` runs reads in the event loop of `online`'s connections.
    Without a `sampler`, entities come from the offline store alone. Nothing is read before the first turn."""
    seconds = settings.sync_export_timeout
    history = FeastHistory(repo.store.config, feast_views, seconds, repo.store.registry)
    probe = SkewProbe(
        EntitySampler(
            sampler,
            StoredOfflineSampler(repo.store.config, feast_views, history, seconds),
            settings.skew_sample,
        ),
        OnlineSide(online, run),
        OfflineSide(history, seconds),
        StoredMaterialized(metadata, repo.project, feast_views, settings.materialize_overlap),
        sampler,
        now,
        pause=min(timedelta(seconds=1), settings.skew_interval),
    )
    return SkewMonitor(
        probe,
        catalog,
        StoredLeases(metadata, repo.project),
        StoredSnapshots(metadata, repo.project),
        now,
        settings.skew_interval,
        timedelta(seconds=_MOST_LONG_STEPS * seconds),
        holder,
        rank,
    )


def running_in(loop: asyncio.AbstractEventLoop, seconds: float) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs coroutines from other threads in the event loop of a server, each for so many seconds at most."""

    def run(work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(seconds)
        except TimeoutError as error:
            future.cancel()
            raise StoreUnavailableError(f"The online store was not read within {seconds:g} s") from error

    return run
