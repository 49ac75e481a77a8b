"""A repo whose on-demand views compute other things for one row than for many, or at the second call."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import yaml

_DEFINITIONS = dedent(
    """
    from datetime import timedelta
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Float64, Int64, UnixTimestamp

    times = dict(timestamp_field="ts", created_timestamp_column="made")
    sensor = Entity(name="sensor", join_keys=["sensor_id"], value_type=ValueType.INT64)
    events = PushSource(name="events", batch_source=FileSource(name="s", path="data/readings", **times))
    readings = FeatureView(
        name="readings", entities=[sensor], source=events, ttl=timedelta(0),
        schema=[Field(name="sensor_id", dtype=Int64), Field(name="value", dtype=Int64)],
    )
    now = RequestSource(name="now", schema=[Field(name="request_timestamp", dtype=UnixTimestamp)])
    factor = RequestSource(name="factor", schema=[Field(name="factor", dtype=Int64)])

    @on_demand_feature_view(
        sources=[readings], mode="python",
        schema=[Field(name="centred", dtype=Float64), Field(name="doubled", dtype=Float64)],
    )
    def of_the_batch(inputs):
        values = [value or 0 for value in inputs["value"]]
        return {
            "centred": [value - sum(values) / len(values) for value in values],
            "doubled": [2.0 * value for value in values],
        }

    @on_demand_feature_view(
        sources=[readings, now], mode="python", schema=[Field(name="hours", dtype=Float64)],
    )
    def of_the_instant(inputs):
        return {"hours": [moment.timestamp() / 3600 for moment in inputs["request_timestamp"]]}

    @on_demand_feature_view(
        sources=[readings, factor], mode="python", schema=[Field(name="scaled", dtype=Float64)],
    )
    def of_the_caller(inputs):
        return {"scaled": [1.0 * (v or 0) * f for v, f in zip(inputs["value"], inputs["factor"])]}

    served = FeatureService(name="served", features=[readings, of_the_batch, of_the_instant, of_the_caller])
    """
)


def write_skewed_repo(folder: Path) -> None:
    """Write the repo into `folder`, over SQLite and Parquet."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text(_DEFINITIONS, encoding="utf-8")
    config = {
        "project": "lab",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": "sqlite:///data/registry.db"},
        "online_store": {"type": "sqlite", "path": "data/online.db"},
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
