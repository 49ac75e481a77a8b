"""Stock Feast as a client: one that reaches its online store through Freshet, and one that reads the store itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore
from feast.permissions.client.http_auth_requests_wrapper import HttpSessionManager

_NUMBERS = itertools.count(1)


@contextmanager
def remote(url: str, project: str, registry: str, folder: Path) -> Iterator[FeatureStore]:
    """Feast's SDK with `online_store: {type: remote}`; `registry` is a SQLAlchemy URL, `folder` holds its files."""
    with _opened({"type": "remote", "path": url}, project, registry, folder) as store:
        try:
            yield store
        finally:
            HttpSessionManager.close_session()


@contextmanager
def direct(online: dict[str, Any], project: str, registry: str, folder: Path) -> Iterator[FeatureStore]:
    """Feast's SDK over the online store itself."""
    with _opened(online, project, registry, folder) as store:
        try:
            yield store
        finally:
            stock: Any = store.provider.online_store
            for connection in (getattr(stock, "_conn", None), getattr(stock, "_client", None)):
                if connection is not None:
                    connection.close()


@contextmanager
def _opened(online: dict[str, Any], project: str, registry: str, folder: Path) -> Iterator[FeatureStore]:
    place = folder / f"client-{next(_NUMBERS)}"
    place.mkdir()
    config = {
        "project": project,
        "provider": "local",
        "registry": {"registry_type": "sql", "path": registry},
        "online_store": online,
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (place / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    store = FeatureStore(repo_path=str(place))
    try:
        yield store
    finally:
        sql: Any = store.registry
        for engine in {sql.read_engine, sql.write_engine}:
            engine.dispose()


def values(store: FeatureStore, features: Any, rows: list[dict[str, Any]], **options: Any) -> dict[str, list[Any]]:
    """What Feast's to_dict says, by name and then row."""
    found: dict[str, list[Any]] = store.get_online_features(features, rows, **options).to_dict()
    return found


def statuses(store: FeatureStore, features: Any, rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The status of every value, by name and then row."""
    proto = store.get_online_features(features, rows).proto
    names = type(proto).FeatureVector.DESCRIPTOR.fields_by_name["statuses"].enum_type.values_by_number
    return {
        name: [names[status].name for status in vector.statuses]
        for name, vector in zip(proto.metadata.feature_names.val, proto.results, strict=True)
    }
