"""The Feast repo: its feature_store.yaml loaded, with Freshet's own store classes put in for the types that they know.

The substitution happens in memory only: the file on disk stays a stock one, and stock Feast keeps working beside us.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from feast import FeatureStore
from feast.infra.registry.sql import SqlRegistry
from feast.repo_config import RepoConfig
from pydantic import ValidationError

from app.errors import ConfigurationError, StoreUnavailableError, one_line
from app.settings import Settings
from app.stores.feature_store_yaml import read_yaml
from app.stores.folders import make_writable

_ONLINE = {
    "sqlite": "app.stores.online_sqlite.SqliteOnlineStore",
    "feast.infra.online_stores.sqlite.SqliteOnlineStore": "app.stores.online_sqlite.SqliteOnlineStore",
    "redis": "app.stores.online_redis.RedisOnlineStore",
    "feast.infra.online_stores.redis.RedisOnlineStore": "app.stores.online_redis.RedisOnlineStore",
}
_OFFLINE = {
    "dask": "app.stores.offline_files.FileOfflineStore",
    "file": "app.stores.offline_files.FileOfflineStore",
    "duckdb": "app.stores.offline_files.FileOfflineStore",
    "feast.infra.offline_stores.dask.DaskOfflineStore": "app.stores.offline_files.FileOfflineStore",
    "feast.infra.offline_stores.duckdb.DuckDBOfflineStore": "app.stores.offline_files.FileOfflineStore",
    "postgres": "app.stores.offline_postgres.PostgreSQLOfflineStore",
    "feast.infra.offline_stores.contrib.postgres_offline_store.postgres.PostgreSQLOfflineStore": (
        "app.stores.offline_postgres.PostgreSQLOfflineStore"
    ),
}
_SPARK = {"spark", "feast.infra.offline_stores.contrib.spark_offline_store.spark.SparkOfflineStore"}
# dask's own options have no meaning for the class that replaces it.
_FILE_STORE_OPTIONS = {"type", "staging_location", "staging_location_endpoint_override"}


@dataclass(frozen=True)
class FeastRepo:
    """A Feast repo that is ready to use: `store` is Feast's own FeatureStore over our store classes."""

    path: Path
    yaml_path: Path
    store: FeatureStore

    @property
    def project(self) -> str:
        """Feast's project name."""
        return str(self.store.project)

    def close(self) -> None:
        """Close the registry's connections; Feast's stores are closed by their adapters."""
        registry = self.store.registry
        if isinstance(registry, SqlRegistry):
            for engine in {registry.read_engine, registry.write_engine}:
                engine.dispose()


def open_repo(settings: Settings) -> FeastRepo:
    """Load the repo that the settings name.

    Raises ConfigurationError, with one line that says what to change, when the folder, the file, its YAML, an
    environment variable that it uses, or a value in it is missing or wrong.
    """
    yaml_path = settings.repo_path / settings.feature_store_yaml
    raw = read_yaml(yaml_path)
    try:
        _substitute(raw, settings)
        _resolve_paths(raw, settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{yaml_path}: {error.detail}") from error
    config = _build(yaml_path, "", lambda: RepoConfig(**raw))
    config.repo_path = settings.repo_path
    # Feast builds these lazily; a fault in them should show now, and with the section's name.
    for section in ("registry", "online_store", "offline_store", "batch_engine"):
        _build(yaml_path, section, functools.partial(getattr, config, section))
    store = FeatureStore(config=config)
    _build(yaml_path, "registry", lambda: store.registry)
    _build(yaml_path, "provider", lambda: store.provider)
    return FeastRepo(settings.repo_path, yaml_path, store)


def _build(yaml_path: Path, section: str, make: Callable[[], Any]) -> Any:
    """What `make` gives, or one line that names the file, the section and the fault."""
    place = f"{yaml_path}: {section}" if section else f"{yaml_path}"
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in (section, *first["loc"]) if part)
        raise ConfigurationError(f"{yaml_path}: {where}: {first['msg']}") from None
    except sa.exc.OperationalError as error:
        raise StoreUnavailableError(f"{place}: the database of the registry does not answer") from error
    except Exception as error:  # Feast raises whatever a wrong value trips over; to its writer it is one line
        raise ConfigurationError(f"{place}: {one_line(error)}") from error


def _section(raw: dict[str, Any], name: str, default: str) -> dict[str, Any] | None:
    """The mapping under `name`, whichever of Feast's spellings the file uses; None where the store is switched off."""
    value = raw.get(name, default)
    if value is None:
        return None
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name}: must be a mapping with a `type`")
    if not isinstance(value.setdefault("type", default), str):
        raise ConfigurationError(f"{name}: `type` must be a text")
    raw[name] = value
    return value


def _substitute(raw: dict[str, Any], settings: Settings) -> None:
    online = _section(raw, "online_store", "sqlite")
    if online is not None:
        online["type"] = _ONLINE.get(online["type"], online["type"])
        if online["type"] == _ONLINE["redis"]:
            online["read_timeout"] = settings.online_timeout
            online["read_connections"] = settings.online_connections
            online["read_waiting"] = settings.online_waiting
            online["write_timeout"] = settings.online_write_timeout
    offline = _section(raw, "offline_store", "dask")
    if offline is not None:
        offline["type"] = _OFFLINE.get(offline["type"], offline["type"])
        if offline["type"] == _OFFLINE["duckdb"]:
            for option in set(offline) - _FILE_STORE_OPTIONS:
                del offline[option]
        if offline["type"] in _SPARK:
            # Feast writes UTC into its SQL and leaves it to the session what that means; and hands rows over singly.
            offline["spark_conf"] = {
                "spark.sql.execution.arrow.pyspark.enabled": "true",
                **(offline.get("spark_conf") or {}),
                "spark.sql.session.timeZone": "UTC",
            }


def runs_on_spark(config: RepoConfig) -> bool:
    """Whether the offline store is Feast's on Spark."""
    return config.offline_config["type"] in _SPARK


def has_own_adapter(config: RepoConfig) -> bool:
    """Whether the offline store is one of those that Freshet replaces by its own classes."""
    return config.offline_config["type"] in set(_OFFLINE.values())


def _resolve_paths(raw: dict[str, Any], settings: Settings) -> None:
    """Make the paths of local files absolute; relative ones start at the repo, as for `feast apply` run in it."""
    online = raw.get("online_store")
    if isinstance(online, dict) and online["type"] == _ONLINE["sqlite"]:
        online["path"] = str(_embedded(_path(online, "online_store", "data/online.db"), settings))
    if isinstance(raw["registry"], str):
        raw["registry"] = {"registry_type": "file", "path": raw["registry"]}
    registry = raw["registry"]
    if not isinstance(registry, dict):
        raise ConfigurationError("registry: must be a path or a mapping with a `registry_type`")
    path, prefix = _path(registry, "registry", ""), "sqlite:///"
    if registry.get("registry_type") == "sql" and path.startswith(prefix):
        registry["path"] = prefix + str(_embedded(path.removeprefix(prefix), settings))
    elif registry.get("registry_type", "file") == "file" and path and "://" not in path:
        registry["path"] = str(_embedded(path, settings))


def _path(section: dict[str, Any], name: str, default: str) -> str:
    path = section.get("path", default)
    if not isinstance(path, str):
        raise ConfigurationError(f"{name}: `path` must be a string")
    return path


def _embedded(path: str, settings: Settings) -> Path:
    """Where an embedded file is. Only the bundled repo's follow FRESHET_DATA_DIR; a repo of yours says where its are,
    and stock Feast must find them in the same place."""
    if Path(path).is_absolute():
        resolved = Path(path)
    elif settings.is_bundled_repo and Path(path).parts[0] == "data":
        resolved = settings.data_path.joinpath(*Path(path).parts[1:])
    else:
        resolved = settings.repo_path / path
    make_writable(resolved.parent)
    return resolved
