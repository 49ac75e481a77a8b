"""Every type of value, appended and read again: what comes back is what was pushed, and a null is a null."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.arrow_values import from_arrow
from tests.contract.offline import NOON, OfflineCase, batch, opened, write_offline_repo
from tests.servers import Postgres

VALUES: dict[str, Any] = {
    "Int32": -7,
    "Int64": 2**53 + 1,
    "Float32": 0.5,
    "Float64": 1 / 3,
    "Bool": False,
    "String": 'tab\there, \\N, "quoted" {a,b}, ü\nand a line',
    "Bytes": b"\x00\xff\\\n",
    "UnixTimestamp": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "Uuid": "6f0b6b1e-0000-4000-8000-000000000001",
    "Decimal": "1.2300000000000000000000001",
    "Json": {"deep": [1, None, "x\ty\\"], "text": 'a "b"'},
    "Map": {"k": "v\n", "ü": "\\"},
    "Struct({'a': Int64, 'b': String})": {"a": 1, "b": "x"},
    "Array(Int64)": [1, None, -(2**62)],
    "Array(Float32)": [0.5, -1.5],
    "Array(String)": ["a", "NULL", 'q"\\,{}\t\n', "", "ü", " "],
    "Array(Bool)": [True, False],
    "Array(Bytes)": [b"\x00\xff\\", b""],
    "Array(UnixTimestamp)": [datetime(2026, 1, 2, tzinfo=UTC)],
    "Array(Decimal)": ["1.50", "-2"],
    "Array(Json)": [{"a": 1}, 2, "x"],
    "Array(Map)": [{"a": "b"}, {}],
    "Array(Struct({'a': Int64}))": [{"a": 1}, {"a": None}],
    "Array(Array(Int64))": [[1, 2], [3], []],
    "Set(String)": ["a", "b"],
}

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import *

times = dict(timestamp_field="ts", created_timestamp_column="made")
sensor = Entity(name="sensor", join_keys=["sensor_id"], value_type=ValueType.INT64)
events = PushSource(name="events", batch_source={source})
every = [%s]
readings = FeatureView(
    name="readings", entities=[sensor], source=events, ttl=timedelta(0),
    schema=[Field(name="sensor_id", dtype=Int64)] + [Field(name=f"f{{n}}", dtype=one) for n, one in enumerate(every)],
)
"""


def read(case: OfflineCase, sensor: int) -> dict[str, Any]:
    """The features of a sensor by type, as they would go online."""
    table = case.store.newest(case.view, NOON, NOON)
    (row,) = [row for row in table.to_pylist() if row["sensor_id"] == sensor]
    types = {field.name: field.dtype for field in case.view.features}
    return {kind: from_arrow(row[f"f{n}"], types[f"f{n}"]) for n, kind in enumerate(VALUES)}


@pytest.mark.parametrize("kind", ["folder", "single file", "postgres"])
def test_every_value_comes_back(kind: str, tmp_path: Path, postgres: Postgres) -> None:
    with postgres.database() if kind == "postgres" else nullcontext() as database:
        types = ", ".join(VALUES).replace("{", "{{").replace("}", "}}")
        write_offline_repo(kind, tmp_path, database, DEFINITIONS % types)
        with opened(kind, tmp_path, database) as case:
            columns = {f"f{n}": [value, None] for n, value in enumerate(VALUES.values())}
            case.store.append_batch([case.view], batch({"sensor_id": [1, 2], **columns}))
            case.store.append_batch([case.view], batch({"sensor_id": [3], **{name: [None] for name in columns}}))
            case.store.append_batch([case.view], batch({"sensor_id": [4], **{n: v[:1] for n, v in columns.items()}}))
            case.store.compact([case.view])
            for sensor in (1, 4):
                assert read(case, sensor) == VALUES
            for sensor in (2, 3):
                assert read(case, sensor) == dict.fromkeys(VALUES)
