"""A repo with every kind of key and value: int64 and composite keys, all scalar types, lists, maps, JSON, no ttl."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import yaml

DEFINITIONS = dedent(
    """
    from datetime import timedelta

    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import (
        Array, Bool, Bytes, Float32, Float64, Int32, Int64, Json, Map, String, UnixTimestamp,
    )

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)

    def source(name):
        return FileSource(
            name=f"{name}_source", path=f"data/{name}", timestamp_field="ts", created_timestamp_column="made",
        )

    driver_events = PushSource(name="driver_events", batch_source=source("drivers"))
    trip_events = PushSource(name="trip_events", batch_source=source("trips"))

    drivers = FeatureView(
        name="drivers", entities=[driver], ttl=timedelta(hours=2), source=driver_events,
        schema=[
            Field(name="driver_id", dtype=Int64), Field(name="i32", dtype=Int32), Field(name="i64", dtype=Int64),
            Field(name="f32", dtype=Float32), Field(name="f64", dtype=Float64), Field(name="flag", dtype=Bool),
            Field(name="name", dtype=String), Field(name="blob", dtype=Bytes), Field(name="seen", dtype=UnixTimestamp),
            Field(name="tags", dtype=Array(String)), Field(name="counts", dtype=Array(Int64)),
            Field(name="attributes", dtype=Map), Field(name="document", dtype=Json),
        ],
    )
    trips = FeatureView(
        name="trips", entities=[driver, customer], ttl=timedelta(0), source=trip_events,
        schema=[
            Field(name="driver_id", dtype=Int64), Field(name="customer_id", dtype=String),
            Field(name="fare", dtype=Float64), Field(name="name", dtype=String),
        ],
    )
    weather_reports = PushSource(name="weather_reports", batch_source=source("weather"))
    weather = FeatureView(
        name="weather", entities=[], ttl=timedelta(0), source=weather_reports,
        schema=[Field(name="rain", dtype=Bool)],
    )
    now_request = RequestSource(
        name="now_request",
        schema=[Field(name="request_timestamp", dtype=UnixTimestamp), Field(name="surge", dtype=Float64)],
    )

    @on_demand_feature_view(
        sources=[trips, now_request], schema=[Field(name="surged_fare", dtype=Float64)], mode="pandas",
    )
    def pricing(inputs):
        import pandas as pd

        return pd.DataFrame({"surged_fare": inputs["fare"] * inputs["surge"]})

    @on_demand_feature_view(
        sources=[drivers[["seen"]], now_request], schema=[Field(name="idle_hours", dtype=Float64)], mode="python",
        singleton=True,
    )
    def idleness(inputs):
        if inputs["seen"] is None:
            return {"idle_hours": None}
        return {"idle_hours": (inputs["request_timestamp"] - inputs["seen"]).total_seconds() / 3600}

    all_drivers = FeatureService(name="all_drivers", features=[drivers])
    idle = FeatureService(name="idle", features=[idleness])
    trip_prices = FeatureService(name="trip_prices", features=[trips, pricing])
    anywhere = FeatureService(name="anywhere", features=[weather])
    disabled_view = FeatureView(
        name="disabled_view", entities=[driver], ttl=timedelta(0), source=source("disabled"), enabled=False,
        schema=[Field(name="driver_id", dtype=Int64), Field(name="x", dtype=Int64)],
    )
    refused = FeatureService(name="refused", features=[disabled_view])
    precomputed = FeatureService(name="precomputed", features=[drivers], precompute_online=True)
    both = FeatureService(name="both", features=[drivers[["name", "i64"]], trips[["name", "fare"]]])
    renamed = FeatureService(
        name="renamed", features=[drivers[["i64"]].with_name("chauffeurs").with_join_key_map({"driver_id": "boss_id"})],
    )
    """
)

ROW = {
    "driver_id": 1001,
    "i32": -7,
    "i64": 2**53 + 1,
    "f32": 0.5,
    "f64": 1.25,
    "flag": True,
    "name": "Ada",
    "blob": "AAH/",
    "seen": "2026-01-02T03:04:05Z",
    "tags": ["a", "ü"],
    "counts": [1, 2**62],
    "attributes": {"k": "v"},
    "document": {"deep": [1, None, "x"]},
}
"""A row of `drivers` with a value for every feature, as JSON would carry it."""


def write_repo(folder: Path, online: dict[str, object] | None = None, offline: dict[str, object] | None = None) -> Path:
    """Write the repo into `folder` over the given stores (default: SQLite and Parquet); returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    config = {
        "project": "lab",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": "sqlite:///data/registry.db", "cache_ttl_seconds": 60},
        "online_store": online or {"type": "sqlite", "path": "data/online.db"},
        "offline_store": offline or {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder
