"""Offline stores with the rows that a test says, written as strangers write them, and joins over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from app.domain import Catalog, OnDemandSpec, ViewSpec
from app.exports.engine import open_engine
from app.exports.point_in_time import JoinedBatch, point_in_time
from app.exports.table_spine import TableSpine
from app.planning.select import select_features, select_service
from app.planning.selection import Selection
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.history import FeastHistory
from app.stores.repo import FeastRepo, open_repo
from tests.oracle import Fact
from tests.servers import Database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
KINDS = ["parquet", "postgres"]
"""The stores that are ours."""
FOREIGN = ["warehouse", pytest.param("spark", marks=pytest.mark.full)]
"""Stores that find rows by Feast's SQL."""
UTC_MICROS = pa.timestamp("us", tz="UTC")

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RedshiftSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64, String

def source(name, **times):
    return {source}

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)

# With a created timestamp, a ttl, two join keys, and a column that its source calls otherwise.
trips = FeatureView(
    name="trips", entities=[driver, customer], ttl=timedelta(hours=1),
    source=source("trips", timestamp_field="ts", created_timestamp_column="made", field_mapping={{"paid": "fare"}}),
    schema=[Field(name="driver_id", dtype=Int64), Field(name="customer_id", dtype=String),
            Field(name="fare", dtype=Float64), Field(name="note", dtype=String), Field(name="stops", dtype=Int64)],
)
# Without either, and with one key.
ratings = FeatureView(
    name="ratings", entities=[driver], ttl=timedelta(0),
    # Feast lets a mapping rename the column of times, too.
    source=source("ratings", timestamp_field="happened", field_mapping={{"ts": "happened"}}),
    schema=[Field(name="driver_id", dtype=Int64), Field(name="stars", dtype=Int64), Field(name="why", dtype=String)],
)
# Of nobody in particular.
weather = FeatureView(
    name="weather", entities=[], ttl=timedelta(hours=2),
    source=source("weather", timestamp_field="ts", created_timestamp_column="made"),
    schema=[Field(name="rain", dtype=Float64)],
)
both = FeatureService(name="both", features=[
    ratings.with_name("first").with_join_key_map({{"driver_id": "first_driver"}}),
    ratings[["stars"]].with_name("second").with_join_key_map({{"driver_id": "second_driver"}}),
    trips[["note", "fare"]],
])
"""
SOURCES = {
    "parquet": "FileSource(name=name, path=f'data/{name}.parquet', **times)",
    "postgres": "PostgreSQLSource(name=name, table=name, **times)",
    "warehouse": "RedshiftSource(name=name, query=f\"SELECT * FROM '{folder}/data/{name}.parquet'\", **times)",
    "spark": "SparkSource(name=name, path='{folder}/data/' + name + '.parquet', file_format='parquet', **times)",
}
IMPORTS = {
    "spark": "from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource",
}
OFFLINE_STORES: dict[str, dict[str, Any]] = {
    "parquet": {"type": "file"},
    "warehouse": {"type": "tests.warehouse.WarehouseOfflineStore"},
    "spark": {
        "type": "spark",
        "spark_conf": {
            "spark.master": "local[2]",
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            # Whoever computes there does so elsewhere than in UTC.
            "spark.sql.session.timeZone": "America/New_York",
        },
    },
}
# Per view: join keys, features as the source calls them, and whether there is a created column.
COLUMNS = {
    "trips": (["driver_id", "customer_id"], ["paid", "note", "stops"], True),
    "ratings": (["driver_id"], ["stars", "why"], False),
    "weather": ([], ["rain"], True),
}
TYPES = {
    "driver_id": pa.int64(),
    "customer_id": pa.string(),
    "paid": pa.float64(),
    "note": pa.string(),
    "stops": pa.int64(),
    "stars": pa.int64(),
    "why": pa.string(),
    "rain": pa.float64(),
    "ts": UTC_MICROS,
    "made": UTC_MICROS,
}


@dataclass(frozen=True)
class HistoryCase:
    """An offline store, opened, and what is in it."""

    kind: str
    folder: Path
    database: Database | None
    repo: FeastRepo
    catalog: Catalog
    history: FeastHistory

    @property
    def foreign(self) -> bool:
        """Whether the store is none of ours."""
        return self.kind not in KINDS

    def write(self, view: str, facts: Sequence[Fact]) -> None:
        """Let these be all rows of a view."""
        keys, features, created = COLUMNS[view]
        names = [*keys, "ts", *(["made"] if created else []), *features]
        rows = [(*fact.key, fact.event, *([fact.created] if created else []), *fact.values) for fact in facts]
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        arrays = [pa.array(column, TYPES[name]) for name, column in zip(names, columns, strict=True)]
        self.write_table(view, pa.table(arrays, names=names))

    def write_table(self, view: str, table: pa.Table) -> None:
        """The same for a table in the columns of the source."""
        if self.database is None:
            pq.write_table(table, self.folder / "data" / f"{view}.parquet")
            return
        kinds = {"int64": "bigint", "string": "text", "double": "float8", "int32": "int"}
        with psycopg.connect(self.database.url) as connection:
            columns = ", ".join(f'"{field.name}" {kinds.get(str(field.type), "timestamptz")}' for field in table.schema)
            connection.execute(f'DROP TABLE IF EXISTS "{view}"')
            connection.execute(f'CREATE TABLE "{view}" ({columns})')
            with connection.cursor().copy(f'COPY "{view}" FROM STDIN') as copy:
                for row in table.to_pylist():
                    copy.write_row(tuple(row.values()))

    def features(self, *references: str) -> Selection:
        """What a list of features asks for."""
        return select_features(self.catalog, references, _anything)

    def service(self, name: str) -> Selection:
        """What a feature service asks for."""
        return select_service(self.catalog, self.catalog.services[name], _anything)

    def join(
        self,
        selection: Selection,
        spine: pa.Table,
        known_at: bool = False,
        created_until: datetime | None = None,
        memory: int = 2**30,
        at_once: int | None = None,
    ) -> list[JoinedBatch]:
        """The features of a selection joined to a spine, in partitions of about `at_once` rows where that is given."""
        with open_engine(memory, self.folder / "spill") as engine:
            if at_once is not None:
                engine.execute(f"SET VARIABLE rows_at_once = {at_once}")
            joined = point_in_time(engine, selection, TableSpine(spine), self.history, known_at, created_until)
            return list(joined)


def _anything(_: ViewSpec | OnDemandSpec) -> None:
    return None


def spine_of(rows: Sequence[tuple[Any, ...]], **types: pa.DataType) -> pa.Table:
    """A spine: an event timestamp and then values of these columns."""
    schema = pa.schema([("event_timestamp", UTC_MICROS), *types.items()])
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def rows_of(batches: Sequence[JoinedBatch], view: int = 0) -> list[tuple[int, tuple[Any, ...]]]:
    """Status and values of one view, by row."""
    found: list[tuple[int, tuple[Any, ...]]] = []
    for batch in batches:
        values = zip(*(column.to_pylist() for column in batch.values[view]), strict=True)
        found += zip(batch.statuses[view].to_pylist(), values, strict=True)
    return found


@contextmanager
def opened_history(
    kind: str, folder: Path, database: Database | None, definitions: str = DEFINITIONS
) -> Iterator[HistoryCase]:
    """A store of this kind with the definitions applied and no rows yet."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    source = SOURCES[kind].replace("{folder}", str(folder))
    text = IMPORTS.get(kind, "") + definitions.format(source=source)
    (folder / "definitions.py").write_text(text, encoding="utf-8")
    config = {
        "project": "lab",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": "sqlite:///data/registry.db"},
        "online_store": {"type": "sqlite", "path": "data/online.db"},
        "offline_store": database.feast_store if database else OFFLINE_STORES[kind],
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    settings = Settings(feature_repo=folder)
    repo = open_repo(settings)
    try:
        apply_definitions(repo, settings)
        snapshot = RegistryReader(repo).read()
        history = FeastHistory(repo.store.config, lambda: snapshot.feast_views, registry=repo.store.registry)
        yield HistoryCase(kind, folder, database, repo, snapshot.catalog, history)
    finally:
        repo.close()
