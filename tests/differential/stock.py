"""Stock Feast: a case made into a repo over SQLite and Redis, written and read by Feast's own classes alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.type_map import python_values_to_proto_values

from tests.differential.model import Case, Request, Row, View
from tests.differential.values import FEAST_TYPES, is_finite

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What Feast says of one feature of one row."""

    value: ValueProto
    status: str
    event: datetime


@dataclass
class StockRepo:
    """Stock Feast over one online store of the repo. `yaml` names its feature_store.yaml in the folder."""

    case: Case
    folder: Path
    yaml: str
    feast: FeatureStore
    written: dict[str, set[bytes]] = field(default_factory=dict)
    """View -> serialized keys of the rows that it was given."""

    def write(self, now: datetime) -> None:
        """Write every row; ages count from `now`."""
        for view in self.case.views:
            keys = [self._key(view, row.key) for row in view.rows]
            self.written[view.name] = {key.SerializeToString(deterministic=True) for key in keys}
            if view.dataframe and any(value is not None for row in view.rows for value in row.values):
                self.feast.write_to_online_store(view.name, df=_dataframe(view, now))
            else:
                rows = list(zip(keys, _encoded(view), [_moment(row, now) for row in view.rows], strict=True))
                table = self.feast.get_feature_view(view.name)
                provider: Any = self.feast.provider
                batch = [(key, values, moment, None) for key, values, moment in rows]
                provider.online_write_batch(self.feast.config, table, batch, None)

    def has_row(self, view: View, key: tuple[Any, ...]) -> bool:
        """Whether a row was written under that key, as Feast serializes it."""
        return self._key(view, key).SerializeToString(deterministic=True) in self.written[view.name]

    def read(self, request: Request) -> dict[str, list[Answer]]:
        """Feast's answer by view__feature, then row."""
        features: Any = (
            self.feast.get_feature_service(request.service)
            if request.service is not None
            else [f"{entry.view}:{name}" for entry in request.projections for name in entry.features]
        )
        # Without any key Feast learns the number of rows from a column that it does not know.
        entities: Any = {name: list(values) for name, values in request.columns} or {"no such column": [0]}
        proto = self.feast.get_online_features(features, entities, full_feature_names=True).proto
        statuses = type(proto).FeatureVector.DESCRIPTOR.fields_by_name["statuses"].enum_type.values_by_number
        return {
            name: [
                Answer(value, statuses[status].name, event.ToDatetime(tzinfo=UTC))
                for value, status, event in zip(vector.values, vector.statuses, vector.event_timestamps, strict=True)
            ]
            for name, vector in zip(proto.metadata.feature_names.val, proto.results, strict=True)
        }

    def _key(self, view: View, values: tuple[Any, ...]) -> EntityKeyProto:
        if not view.keys:
            return EntityKeyProto(join_keys=[DUMMY_ENTITY_ID], entity_values=[ValueProto(string_val=DUMMY_ENTITY_VAL)])
        types = [self.case.key(name).dtype for name in view.keys]
        return EntityKeyProto(
            join_keys=list(view.keys),
            entity_values=[_proto(value, dtype) for value, dtype in zip(values, types, strict=True)],
        )


@contextmanager
def opened(case: Case, folder: Path, redis: Mapping[str, object]) -> Iterator[dict[str, StockRepo]]:
    """The case as a repo in `folder`, applied; stock Feast over SQLite and over Redis, as its
    feature_store.yaml says where that is.

    Each repo is a project of its own, so that neither Redis nor the caches of Feast mix two of them.
    """
    stores = {
        "sqlite": {"type": "sqlite", "path": str(folder / "online.db")},
        "redis": redis,
    }
    project = f"case{next(_numbers)}"
    repos = {}
    for name, store in stores.items():
        config = {
            "project": project,
            "provider": "local",
            "registry": str(folder / "registry.db"),
            "online_store": dict(store),
            "offline_store": {"type": "file"},
            "entity_key_serialization_version": 3,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        feast = FeatureStore(repo_path=str(folder), fs_yaml_file=folder / f"{name}.yaml")
        repos[name] = StockRepo(case, folder, f"{name}.yaml", feast)
    try:
        for repo in repos.values():
            # The first one makes the tables of SQLite; the registry is one for both.
            repo.feast.apply(_definitions(case))
        yield repos
    finally:
        for repo in repos.values():
            online: Any = repo.feast.provider.online_store
            for connection in (getattr(online, "_conn", None), getattr(online, "_client", None)):
                if connection is not None:
                    connection.close()


def _definitions(case: Case) -> list[Any]:
    entities = {
        key.name: Entity(name=f"entity {number}", join_keys=[key.name], value_type=ValueType[key.dtype])
        for number, key in enumerate(case.keys)
    }
    views = {}
    for number, view in enumerate(case.views):
        schema = [Field(name=name, dtype=FEAST_TYPES[case.key(name).dtype]) for name in view.keys]
        schema += [Field(name=name, dtype=FEAST_TYPES[dtype]) for name, dtype in view.features]
        views[view.name] = FeatureView(
            name=view.name,
            entities=[entities[name] for name in view.keys],
            schema=schema,
            ttl=view.ttl,
            source=FileSource(
                name=f"source {number}",
                path=f"data/{number}.parquet",
                timestamp_field=_EVENT,
                created_timestamp_column="made at",
            ),
        )
    services = []
    for service in case.services:
        projections = []
        for projection in service.projections:
            taken = views[projection.view][list(projection.features)]
            if projection.alias is not None:
                taken = taken.with_name(projection.alias).with_join_key_map(dict(projection.renamed))
            projections.append(taken)
        services.append(FeatureService(name=service.name, features=projections))
    return [*entities.values(), *views.values(), *services]


_EVENT = "happened at"


def _moment(row: Row, now: datetime) -> datetime:
    return now - row.when if isinstance(row.when, timedelta) else row.when


def _dataframe(view: View, now: datetime) -> pd.DataFrame:
    columns: dict[str, Any] = {
        name: pd.Series([row.key[position] for row in view.rows], dtype="object")
        for position, name in enumerate(view.keys)
    }
    for position, (name, _) in enumerate(view.features):
        columns[name] = pd.Series([row.values[position] for row in view.rows], dtype="object")
    moments = pd.Series([_moment(row, now) for row in view.rows])
    return pd.DataFrame({**columns, _EVENT: moments, "made at": moments})


def _encoded(view: View) -> list[dict[str, ValueProto]]:
    return [
        {
            name: _proto(value, dtype)
            for value, (name, dtype) in zip(row.values, view.features, strict=True)
            if name not in view.unwritten
        }
        for row in view.rows
    ]


def _proto(value: Any, dtype: str) -> ValueProto:
    """Feast's message for a value. Its own conversion takes NaN for null; a writer of another language would not."""
    if dtype in ("FLOAT", "DOUBLE") and not is_finite(value):
        return ValueProto(float_val=value) if dtype == "FLOAT" else ValueProto(double_val=value)
    proto: ValueProto = python_values_to_proto_values([value], ValueType[dtype])[0]
    return proto
