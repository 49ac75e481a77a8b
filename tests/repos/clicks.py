"""A stock repo whose views promise something: `clicks` within an hour, `purchases` too, `colours` nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from textwrap import dedent

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

DEFINITIONS = dedent(
    """
    from datetime import timedelta

    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.types import Int64

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)

    def view(name, tags):
        source = FileSource(name=f"{name}_source", path=f"data/{name}.parquet", timestamp_field="ts")
        return FeatureView(
            name=name, entities=[user], ttl=timedelta(0), source=PushSource(name=f"{name}_events", batch_source=source),
            schema=[Field(name="user_id", dtype=Int64), Field(name="number", dtype=Int64)], owner="ada", tags=tags,
        )

    clicks = view("clicks", {"freshness_sla": "1h", "team": "search"})
    purchases = view("purchases", {"freshness_sla": "1h"})
    colours = view("colours", {})
    counts = FeatureService(name="counts", features=[clicks, colours])
    """
)


def write_repo(folder: Path, online: dict[str, object] | None = None) -> Path:
    """Write the repo into `folder` over an online store (default: SQLite), without any row; returns the folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    config = {
        "project": "lab",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": f"sqlite:///{folder}/data/registry.db"},
        "online_store": online or {"type": "sqlite", "path": "data/online.db"},
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for name in ("clicks", "purchases", "colours"):
        write_rows(folder, name)
    return folder


def write_rows(folder: Path, view: str, *moments: datetime) -> None:
    """Let the batch source of a view have these rows and no others, each of a user of its own."""
    users = list(range(len(moments)))
    table = pa.table(
        {
            "user_id": pa.array(users, pa.int64()),
            "number": pa.array(users, pa.int64()),
            "ts": pa.array(moments, pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, folder / f"data/{view}.parquet")
