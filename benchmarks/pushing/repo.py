"""The Feast repos that rows are pushed to: one view over a push source, with PostgreSQL or a Parquet file behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.pushing.rows import PUSH_SOURCE, SERVICE, VIEW
from benchmarks.repo import apply

TABLE = "user_activity"
FILE = "data/user_activity.parquet"


def write_push_repo(
    folder: Path, project: str, online: dict[str, object], offline: dict[str, object], environment: dict[str, str]
) -> Path:
    """Write the repo over these stores and apply it with stock `feast apply`; returns the folder. What is behind the
    batch source (TABLE or FILE) must be there before."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text("\n".join(_definitions(str(offline["type"]))), encoding="utf-8")
    config = {
        "project": project,
        "provider": "local",
        "registry": "data/registry.db",
        "online_store": online,
        "offline_store": offline,
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    apply(folder, environment)
    return folder


def _definitions(offline: str) -> Iterator[str]:
    yield "from datetime import timedelta"
    yield "from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType"
    yield "from feast.types import Bool, Float64, Int64, String"
    if offline == "postgres":
        yield "from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource"
        source = f"PostgreSQLSource(name='history', table={TABLE!r}, timestamp_field='event_timestamp')"
    else:
        source = f"FileSource(name='history', path={FILE!r}, timestamp_field='event_timestamp')"
    yield f"events = PushSource(name={PUSH_SOURCE!r}, batch_source={source})"
    yield f"user = Entity(name={VIEW.entity!r}, join_keys=[{VIEW.entity!r}], value_type=ValueType.STRING)"
    fields = ", ".join(f"Field(name={name!r}, dtype={kind})" for name, kind in VIEW.fields.items())
    yield f"{VIEW.name} = FeatureView(name={VIEW.name!r}, entities=[user], source=events,"
    yield f"    ttl=timedelta(days=1), schema=[Field(name={VIEW.entity!r}, dtype=String), {fields}])"
    yield f"{SERVICE.name} = FeatureService(name={SERVICE.name!r}, features=[{VIEW.name}])"
