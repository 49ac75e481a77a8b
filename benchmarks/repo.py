"""The Feast repo of the benchmark, and its data: applied and written by stock Feast alone."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.dataset import ACCOUNT, USER, Dataset, Service, Value, View

PROJECT = "bench"
FEAST = Path(sys.executable).with_name("feast")
_BATCH = 2000
_SECONDS = 120.0


def write_repo(folder: Path, online_store: dict[str, object], environment: dict[str, str]) -> Path:
    """Write the repo over this online store and apply it with stock `feast apply`; returns the folder.

    A ttl of a day: every row is well within it, and both servers have to look.
    """
    (folder / "data").mkdir(parents=True)
    (folder / "definitions.py").write_text("\n".join(_definitions()), encoding="utf-8")
    config = {
        "project": PROJECT,
        "provider": "local",
        # What `feast init` writes: a file, which Feast keeps in memory.
        "registry": "data/registry.db",
        "online_store": online_store,
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    apply(folder, environment)
    return folder


def apply(folder: Path, environment: dict[str, str]) -> None:
    """Stock `feast apply` of the repo in this folder."""
    done = subprocess.run(
        [FEAST, "apply"], cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"feast apply failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _definitions() -> Iterator[str]:
    yield "from datetime import timedelta"
    yield "from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType"
    yield "from feast.types import Bool, Float32, Float64, Int64, String, UnixTimestamp"
    yield "source = FileSource(name='history', path='data/history.parquet', timestamp_field='event_timestamp')"
    for service in (USER, ACCOUNT):
        yield f"{service.entity} = Entity(name={service.entity!r}, join_keys=[{service.entity!r}], "
        yield "    value_type=ValueType.STRING)"
        for view in service.views:
            fields = ", ".join(f"Field(name={name!r}, dtype={kind})" for name, kind in view.fields.items())
            yield f"{view.name} = FeatureView(name={view.name!r}, entities=[{service.entity}], source=source,"
            yield "    tags={'freshness_sla': 'daily'},"
            yield f"    ttl=timedelta(days=1), schema=[Field(name={service.entity!r}, dtype=String), {fields}])"
        yield f"{service.name} = FeatureService(name={service.name!r}, "
        yield f"    features=[{', '.join(view.name for view in service.views)}])"


def load(folder: Path, dataset: Dataset, services: list[Service], advance: Callable[[int], None]) -> None:
    """Write every row with the stock online store's own writer. `advance` is told how many rows were written."""
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(folder))
    try:
        for service in services:
            for view in service.views:
                table = store.get_feature_view(view.name)
                rows = _rows(dataset, service, view)
                while batch := list(itertools.islice(rows, _BATCH)):
                    store.provider.online_write_batch(store.config, table, batch, None)
                    advance(len(batch))
    finally:
        online = store.provider.online_store
        for client in (getattr(online, "_client", None), getattr(online, "_conn", None)):
            if client is not None:
                client.close()


def _rows(dataset: Dataset, service: Service, view: View) -> Iterator[tuple[Any, dict[str, Any], datetime, None]]:
    for number in range(dataset.count(service)):
        row = dataset.row(view, number)
        if row is not None:
            key = entity_key(service, dataset.entity_id(service, number))
            values = {name: _proto(row.values[name], kind) for name, kind in view.fields.items()}
            yield key, values, row.event_timestamp, None


def entity_key(service: Service, entity_id: str) -> Any:
    """Feast's EntityKey message."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

    return EntityKey(join_keys=[service.entity], entity_values=[ValueProto(string_val=entity_id)])


_PROTO_FIELDS = {
    "Int64": "int64_val",
    "Float64": "double_val",
    "Float32": "float_val",
    "String": "string_val",
    "Bool": "bool_val",
    "UnixTimestamp": "unix_timestamp_val",
}


def _proto(value: Value, kind: str) -> Any:
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

    if value is None:
        return ValueProto()
    field: dict[str, Any] = {_PROTO_FIELDS[kind]: int(value.timestamp()) if isinstance(value, datetime) else value}
    return ValueProto(**field)
