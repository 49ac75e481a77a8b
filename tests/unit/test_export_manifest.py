"""Manifests: written, read back strictly, and compared."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain import FeatureRef, FieldSpec, OnDemandSpec, SourceSpec, ValueStatus, ViewSpec
from app.errors import InvalidRequestError
from app.exports.definition_hash import definition_hash
from app.exports.engine_versions import engine_versions
from app.exports.formats import ExportFormat
from app.exports.manifest import (
    ColumnType,
    DataFile,
    Manifest,
    SpineOrigin,
    ViewDefinition,
    manifest_name,
    read_manifest,
)
from app.exports.reproduction import compare
from app.exports.statistics import FeatureStatistics

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AGE = FeatureStatistics(
    "age",
    3,
    2,
    {
        ValueStatus.PRESENT: 1,
        ValueStatus.NULL_VALUE: 0,
        ValueStatus.NOT_FOUND: 2,
        ValueStatus.OUTSIDE_MAX_AGE: 0,
    },
)
MANIFEST = Manifest(
    export_id="5a0c",
    project="lab",
    feature_service=None,
    features=("profile:age", "profile@v2:name"),
    views=(
        ViewDefinition(view="profile", version=3, definition_hash="d1"),
        ViewDefinition(view="profile@v2", version=None, definition_hash="d2"),
    ),
    registry_hash="r",
    spine=SpineOrigin(sha256="s", rows=3, columns=("user_id", "event_timestamp"), origin="inline"),
    cutoff=NOON,
    known_at=True,
    format=ExportFormat.PARQUET,
    full_feature_names=False,
    rows=3,
    schema=(ColumnType(name="user_id", dtype="string"), ColumnType(name="age", dtype="int64")),
    statistics=(AGE,),
    data=DataFile(name="rows.parquet", sha256="x", bytes=2**40),
    engines=engine_versions(),
    timings={"join": 1.5},
    started_at=NOON,
    finished_at=NOON + timedelta(microseconds=1),
)


def changed(**fields: Any) -> Manifest:
    """The manifest of a later run with other data."""
    data = dataclasses.replace(MANIFEST.data, sha256="y")
    return dataclasses.replace(MANIFEST, **{"data": data, **fields})


def test_a_manifest_is_read_back_as_it_was() -> None:
    text = MANIFEST.encode()

    assert read_manifest(text) == MANIFEST
    assert text.startswith(b'{\n  "manifest_version": 1,\n  "export_id": "5a0c",\n')
    assert text.endswith(b"}\n")
    assert manifest_name("rows.parquet") == "rows.parquet.manifest.json"


def test_it_names_every_engine_by_its_version() -> None:
    assert list(MANIFEST.engines) == ["freshet", "feast", "duckdb", "pyarrow", "python"]
    assert MANIFEST.engines["feast"].startswith("0.67.")


def test_every_field_must_be_there() -> None:
    whole = json.loads(MANIFEST.encode())
    for name in whole:
        part = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(InvalidRequestError, match=f"no manifest of a result: .*{name}"):
            read_manifest(json.dumps(part).encode())
    del whole["spine"]["sha256"]
    with pytest.raises(InvalidRequestError, match=r"missing required field `sha256` - at `\$\.spine`"):
        read_manifest(json.dumps(whole).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [("rows", "3"), ("cutoff", "2026-01-01T12:00:00"), ("format", "excel"), ("features", "a:b"), ("data", None)],
)
def test_fields_of_other_types_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=rf"\$\.{field}"):
        read_manifest(json.dumps({**json.loads(MANIFEST.encode()), field: value}).encode())


def test_another_version_is_refused_before_its_fields_are_looked_at() -> None:
    with pytest.raises(InvalidRequestError, match="has version 2, and this Freshet reads version 1; use the version"):
        read_manifest(b'{"manifest_version": 2}')


@pytest.mark.parametrize("data", [b"", b"PAR1", b"\xff", b"[]", b"{}", b"[" * 10_000])
def test_anything_else_is_no_manifest(data: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="This is no manifest of a result"):
        read_manifest(data)


def test_equal_checksums_are_the_same_result_whatever_else_changed() -> None:
    assert compare(MANIFEST, dataclasses.replace(MANIFEST, engines={}, rows=9, registry_hash="q")) == []


VIEWS = (dataclasses.replace(MANIFEST.views[0], definition_hash="d3", version=4), MANIFEST.views[1])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"spine": dataclasses.replace(MANIFEST.spine, sha256="t", rows=2000)},
            "The spine is another one: 3 rows then, 2,000 now",
        ),
        ({"format": ExportFormat.CSV}, "format was parquet then, and is csv now"),
        ({"known_at": False}, "known_at was True then, and is False now"),
        ({"features": ("profile:age",)}, "The feature profile@v2:name is missing now"),
        ({"features": MANIFEST.features[::-1]}, "The features come in another order"),
        ({"views": VIEWS}, "The definition of profile has changed (version 3 then, 4 now)"),
        ({"views": MANIFEST.views[:1]}, "The view profile@v2 is missing now"),
        ({"engines": {**MANIFEST.engines, "duckdb": "9"}}, "and is 9 now"),
        ({"rows": 2}, "There were 3 rows then, and are 2 now"),
        (
            {"schema": (MANIFEST.schema[0], ColumnType(name="age", dtype="double"))},
            "Column age was int64 then, and is double now",
        ),
        (
            {
                "statistics": (
                    dataclasses.replace(
                        AGE, nulls=1, statuses={**AGE.statuses, ValueStatus.NOT_FOUND: 1, ValueStatus.PRESENT: 2}
                    ),
                )
            },
            "Feature age had 2 nulls then, and has 1 now: PRESENT 1 then, 2 now; NOT_FOUND 2 then, 1 now",
        ),
    ],
)
def test_differences_are_told_in_words(fields: dict[str, Any], words: str) -> None:
    first, *others = compare(MANIFEST, changed(**fields))

    assert first == "The data differ: sha256 x then, y now"
    assert len([text for text in others if words in text]) == 1


def test_where_nothing_recorded_differs_it_is_the_stored_rows() -> None:
    assert "the stored rows have changed" in compare(MANIFEST, changed())[1]
    assert "the stored rows have changed" in compare(MANIFEST, changed(rows=2))[1]
    assert len(compare(MANIFEST, changed(known_at=False))) == 2


USER = FieldSpec("user_id", "STRING")
SOURCE = SourceSpec("profiles", "FileSource", "ts", "created", {"a": "age"})
VIEW = ViewSpec("profile", (USER,), (FieldSpec("age", "INT64"),), timedelta(hours=1), source=SOURCE)
ON_DEMAND = OnDemandSpec(
    "scaled",
    (FieldSpec("scaled", "DOUBLE"),),
    (FeatureRef("profile", "age"),),
    (FieldSpec("factor", "DOUBLE"),),
    lambda columns: columns,
    source="python\ndef scaled(inputs): ...",
)


@pytest.mark.parametrize(
    "fields",
    [
        {"join_keys": (FieldSpec("user_id", "INT64"),)},
        {"features": (FieldSpec("age", "INT32"),)},
        {"features": (FieldSpec("years", "INT64"),)},
        {"ttl": timedelta(hours=1, microseconds=1)},
        {"ttl": None},
        {"source": None},
        {"source": dataclasses.replace(SOURCE, timestamp_field="event_timestamp")},
        {"source": dataclasses.replace(SOURCE, created_timestamp_column=None)},
        {"source": dataclasses.replace(SOURCE, field_mapping={"b": "age"})},
        {"source": dataclasses.replace(SOURCE, location="data/other.parquet")},
        {"name": "other"},
    ],
)
def test_what_decides_the_values_of_a_view_changes_its_hash(fields: dict[str, Any]) -> None:
    assert definition_hash(dataclasses.replace(VIEW, **fields)) != definition_hash(VIEW)


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "python\ndef scaled(inputs): return 2"},
        {"inputs": (FeatureRef("profile", "age", 2),)},
        {"request_fields": ()},
        {"features": (FieldSpec("scaled", "FLOAT"),)},
    ],
)
def test_what_decides_the_values_of_an_on_demand_view_changes_its_hash(fields: dict[str, Any]) -> None:
    assert definition_hash(dataclasses.replace(ON_DEMAND, **fields)) != definition_hash(ON_DEMAND)


def test_the_rest_of_a_definition_leaves_its_hash_alone() -> None:
    described = dataclasses.replace(VIEW, description="d", owner="o", tags={"t": "1"}, online=False, version=7)

    assert definition_hash(described) == definition_hash(VIEW)
    assert definition_hash(VIEW) == "720c19638313de235f006c765a0558e06f442e16bceb992daaed0fdf2f856505"  # in manifests
