"""A repo with one push source for one view, `readings`, over either profile's stores: what tests of pushing push to."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import yaml

from tests.servers import Database, Redis

_SOURCES = {
    "embedded": "FileSource(name='s', path='data/readings', **times)",
    "production": "PostgreSQLSource(name='s', table='readings', **times)",
}
_DEFINITIONS = dedent(
    """
    from datetime import timedelta
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
    from feast.types import Int64, String

    times = dict(timestamp_field="ts", created_timestamp_column="made")
    sensor = Entity(name="sensor", join_keys=["sensor_id"], value_type=ValueType.INT64)
    events = PushSource(name="events", batch_source={source})
    readings = FeatureView(
        name="readings", entities=[sensor], source=events, ttl=timedelta(0),
        schema=[
            Field(name="sensor_id", dtype=Int64), Field(name="value", dtype=Int64), Field(name="note", dtype=String),
        ],
    )
    readings_v1 = FeatureService(name="readings_v1", features=[readings])
    """
)


def write_readings_repo(
    profile: str, folder: Path, database: Database | None = None, redis: Redis | None = None
) -> None:
    """Write the repo into `folder`: `embedded` over SQLite and Parquet, `production` over these servers."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text(_DEFINITIONS.format(source=_SOURCES[profile]), encoding="utf-8")
    config = {
        "project": "lab",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": "sqlite:///data/registry.db"},
        "online_store": {"type": "sqlite", "path": "data/online.db"} if redis is None else redis.online_store,
        "offline_store": {"type": "duckdb"} if database is None else database.feast_store,
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
