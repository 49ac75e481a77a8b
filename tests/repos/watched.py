"""A repo whose views have SLAs of seconds, of hours, and none, over Redis: what tests of the monitoring watch."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import yaml

from tests.servers import Redis

SLA, WARN = 12, 7
"""Of the view `clicks`, in seconds."""

_DEFINITIONS = dedent(
    f"""
    from datetime import timedelta
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.types import Int64

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)

    def pushed(name):
        stored = FileSource(name=f"{{name}}_stored", path=f"data/{{name}}", timestamp_field="ts")
        return PushSource(name=f"{{name}}_events", batch_source=stored)

    def view(name, **options):
        schema = [Field(name="user_id", dtype=Int64), Field(name=f"{{name}}_value", dtype=Int64)]
        return FeatureView(
            name=name, entities=[user], source=pushed(name), ttl=timedelta(0), schema=schema, **options
        )

    clicks = view(
        "clicks", owner="ada@example.com",
        tags={{"freshness_sla": "{SLA}s", "freshness_warn": "{WARN}s", "team": "growth"}},
    )
    orders = view("orders", owner="bob@example.com", tags={{"freshness_sla": "1h"}})
    notes = view("notes")
    watched_v1 = FeatureService(name="watched_v1", features=[clicks, orders, notes])
    """
)


def write_watched_repo(folder: Path, redis: Redis) -> None:
    """Write the repo, of the project `shop`, into `folder`."""
    (folder / "data").mkdir(parents=True)
    (folder / "definitions.py").write_text(_DEFINITIONS, encoding="utf-8")
    config = {
        "project": "shop",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": "sqlite:///data/registry.db"},
        "online_store": redis.online_store,
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
