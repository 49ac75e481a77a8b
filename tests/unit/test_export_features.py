"""The columns of a result: names, types, on-demand features by the row's own time, and what is served as null."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from app.domain import FeatureRef, FieldSpec, OnDemandSpec, ValueStatus, ViewSpec
from app.errors import InvalidRequestError
from app.exports.features import FeatureBatch, ResultColumns
from app.exports.join import HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE
from app.exports.point_in_time import JoinedBatch
from app.planning.select import select_features
from app.planning.selection import Selection
from tests.unit.catalogs import catalog

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MICROS = pa.timestamp("us", tz="UTC")
TYPES = {"DOUBLE": pa.float64(), "INT64": pa.int64(), "STRING": pa.string()}
VIEW = ViewSpec(
    "meter",
    (FieldSpec("meter_id", "INT64"),),
    (FieldSpec("reading", "DOUBLE"), FieldSpec("unit", "STRING")),
    timedelta(hours=1),
)


def _age(columns: dict[str, list[object]]) -> dict[str, list[object]]:
    asked, readings, factors = columns["request_timestamp"], columns["meter__reading"], columns["factor"]
    return {
        "seconds": [(moment - NOON).total_seconds() for moment in asked],  # type: ignore[operator]
        "scaled": [None if value is None else value * factor for value, factor in zip(readings, factors, strict=True)],  # type: ignore[operator]
    }


AGED = OnDemandSpec(
    "aged",
    (FieldSpec("seconds", "DOUBLE"), FieldSpec("scaled", "DOUBLE")),
    (FeatureRef("meter", "reading"),),
    (FieldSpec("request_timestamp", "UNIX_TIMESTAMP"), FieldSpec("factor", "DOUBLE")),
    _age,  # type: ignore[arg-type]
)


def selected(*references: str) -> Selection:
    """What these features ask for."""
    known = dataclasses.replace(catalog(), views={"meter": VIEW}, on_demand_views={"aged": AGED})
    return select_features(known, references, lambda _: None)


def spine(*columns: str) -> pa.RecordBatch:
    """Four rows, an hour apart, with a meter each and further columns of halves."""
    times = pa.array([NOON + timedelta(hours=hour) for hour in range(4)], MICROS)
    halves = {name: pa.array([0.5, 1.0, 1.5, 2.0]) for name in columns}
    return pa.record_batch({"meter_id": pa.array([1, 2, 3, 4]), "event_timestamp": times, **halves})


def result(selection: Selection, rows: pa.RecordBatch, full: bool = False) -> FeatureBatch:
    """The result of a join that found an infinity, a null, nothing, and what is too old."""
    stored = {"reading": pa.array([math.inf, 2.5, None, None]), "unit": pa.array(["l", None, None, None])}
    values = [[stored[feature] for feature in view.features] for view in selection.views]
    codes = pa.array([HOLDS, HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE], pa.int8())
    columns = ResultColumns(
        selection,
        rows.schema,
        [[column.type for column in view] for view in values],
        lambda field: TYPES[field.dtype],
        full,
    )
    (batch,) = columns.batches([JoinedBatch(rows, values, [codes for _ in values])])
    assert batch.rows.schema == columns.schema
    return batch


def test_the_spine_comes_first_and_the_features_in_the_order_asked() -> None:
    found = result(selected("meter:unit", "meter:reading"), spine("label"))
    assert found.rows.schema.names == ["meter_id", "event_timestamp", "label", "unit", "reading"]
    assert found.rows["label"].to_pylist() == [0.5, 1.0, 1.5, 2.0]
    assert found.rows["unit"].to_pylist() == ["l", None, None, None]


def test_infinities_are_null_as_they_are_served() -> None:
    assert result(selected("meter:reading"), spine()).rows["reading"].to_pylist() == [None, 2.5, None, None]


def test_an_on_demand_feature_sees_the_time_of_its_row_and_what_is_stored() -> None:
    found = result(selected("aged:seconds", "aged:scaled"), spine("factor"))
    assert found.rows["seconds"].to_pylist() == [0.0, 3600.0, 7200.0, 10800.0]
    assert found.rows["scaled"].to_pylist() == [None, 2.5, None, None]
    assert found.statuses["scaled"] == [
        ValueStatus.NULL_VALUE, ValueStatus.PRESENT, ValueStatus.NOT_FOUND, ValueStatus.OUTSIDE_MAX_AGE,
    ]  # fmt: skip


def test_a_time_that_the_spine_gives_is_the_one_that_counts() -> None:
    rows = spine("factor").append_column("request_timestamp", pa.array([NOON] * 4, MICROS))
    assert result(selected("aged:seconds"), rows).rows["seconds"].to_pylist() == [0.0] * 4


def test_full_names_and_what_collides() -> None:
    found = result(selected("meter:unit", "meter:reading"), spine("unit"), full=True)
    assert found.rows.schema.names[2:] == ["unit", "meter__unit", "meter__reading"]
    with pytest.raises(InvalidRequestError, match="would be named unit; ask with full_feature_names"):
        result(selected("meter:unit"), spine("unit"))
    with pytest.raises(InvalidRequestError, match="A column of the spine has the name of a feature"):
        result(selected("meter:unit"), spine("meter__unit"), full=True)
