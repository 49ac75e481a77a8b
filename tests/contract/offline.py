"""Offline stores of every kind that is ours, opened over a repo of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import yaml

from app.domain import ViewSpec, to_microseconds
from app.pushing.batch import RowBatch
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.offline import FeastOfflineStore
from app.stores.repo import open_repo
from tests.servers import Database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

SOURCES = {
    "folder": "FileSource(name='s', path='data/readings', **times)",
    "single file": "FileSource(name='s', path='data/readings.parquet', **times)",
    "postgres": "PostgreSQLSource(name='s', table='readings', **times)",
}
READINGS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64, String

times = dict(timestamp_field="ts", created_timestamp_column="made", field_mapping={{"raw_value": "value"}})
sensor = Entity(name="sensor", join_keys=["sensor_id"], value_type=ValueType.INT64)
events = PushSource(name="events", batch_source={source})
readings = FeatureView(
    name="readings", entities=[sensor], source=events, ttl=timedelta(0),
    schema=[Field(name="sensor_id", dtype=Int64), Field(name="value", dtype=Float64), Field(name="note", dtype=String)],
)
"""


@dataclass(frozen=True)
class OfflineCase:
    """An offline store, opened, with a view `readings`, whose value column has another name in the source."""

    kind: str
    folder: Path
    database: Database | None
    store: FeastOfflineStore
    views: Mapping[str, ViewSpec]

    @property
    def view(self) -> ViewSpec:
        """The view of most tests."""
        return self.views["readings"]

    def append(self, *rows: tuple[int, float | None, datetime, datetime], note: str = "n") -> None:
        """Append rows of (sensor, value, event, created)."""
        sensors, values, events, created = (list(column) for column in zip(*rows, strict=True))
        columns = {"sensor_id": sensors, "value": values, "note": [note] * len(rows)}
        times = (list(map(to_microseconds, moments)) for moments in (events, created))
        self.store.append_batch([self.view], RowBatch(columns, *times))

    def newest(self, start: datetime = BEGINNING, end: datetime = NOON, view: str = "readings") -> dict[int, Any]:
        """The value of each sensor's newest row."""
        table = self.store.newest(self.views[view], start, end)
        return dict(zip(table["sensor_id"].to_pylist(), table["value"].to_pylist(), strict=True))

    def stored(self) -> int:
        """How many rows the source of `readings` holds, whoever counts."""
        return len(self.sensors())

    def sensors(self) -> list[int]:
        """The sensor of every row that the source of `readings` holds, in order."""
        if self.database is not None:
            with psycopg.connect(self.database.url) as connection:
                found = connection.execute("SELECT sensor_id FROM readings ORDER BY 1").fetchall()
                return [row[0] for row in found]
        return sorted(
            sensor for file in self.files() for sensor in pq.read_table(file, columns=["sensor_id"])[0].to_pylist()
        )

    def files(self) -> list[Path]:
        """Every Parquet file that lies there, as a stranger would list them."""
        single, parts = self.folder / "data/readings.parquet", self.folder / "data/readings.parquet.parts"
        found = [*self.folder.glob("data/readings/*.parquet"), *parts.glob("*.parquet")]
        return sorted([*found, single] if single.is_file() else found)


def batch(columns: Mapping[str, Sequence[Any]], event: datetime = NOON) -> RowBatch:
    """Rows whose event timestamps are the same, created a microsecond after each other."""
    rows = len(next(iter(columns.values())))
    micros = (event - BEGINNING) // MICROSECOND
    return RowBatch(columns, [micros] * rows, list(range(micros, micros + rows)))


def sensors(*numbers: int) -> RowBatch:
    """A reading each of these sensors."""
    return batch({"sensor_id": numbers, "value": [float(number) for number in numbers], "note": ["n"] * len(numbers)})


def write_offline_repo(kind: str, folder: Path, database: Database | None, definitions: str = READINGS) -> None:
    """A Feast repo over an offline store of this kind; {source} in the definitions is its source."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text(definitions.format(source=SOURCES[kind]), encoding="utf-8")
    config = {
        "project": "lab",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": "sqlite:///data/registry.db"},
        "online_store": {"type": "sqlite", "path": "data/online.db"},
        "offline_store": {"type": "file"} if database is None else database.feast_store,
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    settings = Settings(feature_repo=folder)
    repo = open_repo(settings)
    apply_definitions(repo, settings)
    repo.close()


@contextmanager
def opened(
    kind: str, folder: Path, database: Database | None = None, write_timeout: float = 20.0
) -> Iterator[OfflineCase]:
    """The offline store of a repo that `write_offline_repo` wrote."""
    repo = open_repo(Settings(feature_repo=folder))
    snapshot = RegistryReader(repo).read()
    store = FeastOfflineStore(repo, write_timeout)
    store.use(snapshot.feast_views)
    try:
        yield OfflineCase(kind, folder, database, store, snapshot.catalog.views)
    finally:
        store.close()
        repo.close()
