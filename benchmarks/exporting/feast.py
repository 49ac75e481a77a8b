"""Stock Feast's export. Nothing of Freshet is imported here: the classes are Feast's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from feast import FeatureStore

from benchmarks.exporting.dataset import SERVICE
from benchmarks.exporting.exporter import Export

_STORES = {
    "duckdb": "feast.infra.offline_stores.duckdb.DuckDBOfflineStore",
    "postgres": "feast.infra.offline_stores.contrib.postgres_offline_store.postgres.PostgreSQLOfflineStore",
}


@contextlib.contextmanager
def opened(repo: Path) -> Iterator[Export]:
    """`get_historical_features` of the service, and its table written as Parquet. Raises RuntimeError where the
    offline store is not the one that Feast comes with."""
    store = FeatureStore(repo_path=str(repo))
    offline = type(store.provider.offline_store)
    name = f"{offline.__module__}.{offline.__qualname__}"
    if name != _STORES[store.config.offline_store.type]:
        raise RuntimeError(f"{name} is not the offline store of stock Feast")
    service = store.get_feature_service(SERVICE)

    def export(spine: Path, target: Path) -> None:
        job = store.get_historical_features(entity_df=pd.read_parquet(spine), features=service)
        pq.write_table(job.to_arrow(), target, compression="zstd")

    yield export
