"""The Feast repos that are exported from: two views and a service over Parquet files or over PostgreSQL tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import yaml
from adbc_driver_postgresql import dbapi

from benchmarks.exporting.dataset import ENTITY, SERVICE, TTL_DAYS, VIEWS
from benchmarks.repo import apply


def history_file(folder: Path, view: str) -> Path:
    """Where the history of a view is, in the folder of a run."""
    return folder / "history" / f"{view}.parquet"


def write_export_repo(folder: Path, store: str, offline: dict[str, object], environment: dict[str, str]) -> Path:
    """Write the repo over this offline store and apply it with stock `feast apply`; returns the repo's folder. The
    history must be there before."""
    repo = folder / store
    (repo / "data").mkdir(parents=True, exist_ok=True)
    (repo / "definitions.py").write_text("\n".join(_definitions(folder, store)), encoding="utf-8")
    config = {
        "project": "training",
        "provider": "local",
        "registry": "data/registry.db",
        "online_store": {"type": "sqlite", "path": "data/online.db"},
        "offline_store": offline,
        "entity_key_serialization_version": 3,
    }
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    apply(repo, environment)
    return repo


def fill_postgres(url: str, folder: Path) -> None:
    """The same rows as the files', with an index that a careful owner would make, and statistics."""
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        for view in VIEWS:
            with pq.ParquetFile(history_file(folder, view.name)) as file:
                for number, batch in enumerate(file.iter_batches(100_000)):
                    cursor.adbc_ingest(view.name, batch, mode="append" if number else "create")
            cursor.execute(f"CREATE INDEX ON {view.name} ({ENTITY}, event_timestamp)")
        connection.commit()
        for view in VIEWS:
            cursor.execute(f"ANALYZE {view.name}")
        connection.commit()


def _definitions(folder: Path, store: str) -> Iterator[str]:
    yield "from datetime import timedelta"
    yield "from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType"
    yield "from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource"
    yield "from feast.types import Bool, Float64, Int64, String"
    yield f"user = Entity(name={ENTITY!r}, join_keys=[{ENTITY!r}], value_type=ValueType.STRING)"
    for view in VIEWS:
        where = f"path={str(history_file(folder, view.name))!r}" if store == "parquet" else f"table={view.name!r}"
        kind = "FileSource" if store == "parquet" else "PostgreSQLSource"
        yield f"{view.name}_source = {kind}(name='{view.name}_source', {where},"
        yield "    timestamp_field='event_timestamp', created_timestamp_column='created')"
        fields = ", ".join(f"Field(name={name!r}, dtype={dtype})" for name, dtype in view.fields.items())
        yield f"{view.name} = FeatureView(name={view.name!r}, entities=[user], source={view.name}_source,"
        yield f"    ttl=timedelta(days={TTL_DAYS}), schema=[Field(name={ENTITY!r}, dtype=String), {fields}])"
    yield f"{SERVICE} = FeatureService(name={SERVICE!r}, features=[{', '.join(view.name for view in VIEWS)}])"
