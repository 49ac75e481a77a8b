"""DataFrames of Feast's client as rows: names of columns, forms of values, faults."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from app.api.feast_wire.frame import frame_rows
from app.domain import FieldSpec, SourceSpec, ViewSpec
from app.errors import InvalidRequestError

KEY = FieldSpec("user_id", "STRING")
view = ViewSpec(
    "profile",
    (KEY,),
    (FieldSpec("age", "INT64"), FieldSpec("extra", "JSON"), FieldSpec("pairs", "MAP_LIST")),
    None,
    source=SourceSpec("people", "FileSource", "happened", "made", {"years": "age"}),
)
ROW: dict[str, Any] = {"user_id": ["u"], "age": [1], "extra": [None], "pairs": [None]}


def rows(**changed: Any) -> list[dict[str, Any]]:
    df = {name: values for name, values in {**ROW, **changed}.items() if values is not ...}
    return frame_rows(df, [view])


def faults(**changed: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as told:
        rows(**changed)
    return {fault.field: fault.message for fault in told.value.errors}


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("event_timestamp", "event_timestamp"),
        ("happened", "event_timestamp"),
        ("created", "created_timestamp"),
        ("created_timestamp", "created_timestamp"),
        ("made", "created_timestamp"),
    ],
)
def test_times_go_by_the_names_of_the_client_and_of_the_source(sent: str, name: str) -> None:
    assert rows(**{sent: ["2026-01-01"]})[0][name] == "2026-01-01"


def test_a_feature_of_such_a_name_is_a_feature() -> None:
    named = dataclasses.replace(view, features=(FieldSpec("created", "STRING"),))
    df = {"user_id": ["u"], "created": ["by hand"]}
    assert frame_rows(df, [named]) == [{"user_id": "u", "created": "by hand"}]


def test_a_column_of_the_source_is_the_feature_that_it_is_mapped_to() -> None:
    assert rows(age=..., years=[7])[0]["age"] == 7


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (math.nan, None),
        (4.0, 4),
        (4.5, 4.5),
        (math.inf, math.inf),
        # Beyond this a float no longer says which integer was meant.
        (2.0**53, 2**53),
        (2.0**54, 2.0**54),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_an_integer_survives_a_column_of_floats(sent: Any, meant: Any) -> None:
    (row,) = rows(age=[sent])
    assert (row["age"], type(row["age"])) == (meant, type(meant))


@pytest.mark.parametrize(
    ("sent", "meant"),
    [('{"a": [1, null]}', {"a": [1, None]}), ({"a": 1}, {"a": 1}), ('"text"', "text"), ("no json", "no json")],
)
def test_json_comes_as_text_or_as_it_is(sent: Any, meant: Any) -> None:
    assert rows(extra=[sent])[0]["extra"] == meant


def test_a_list_of_maps_comes_as_texts() -> None:
    assert rows(pairs=[['{"a": 1}', {"b": 2}]])[0]["pairs"] == [{"a": 1}, {"b": 2}]


def test_the_key_that_feast_gives_a_view_without_entities_is_left_out() -> None:
    keyless = dataclasses.replace(view, join_keys=(), features=(FieldSpec("age", "INT64"),))
    assert frame_rows({"__dummy_id": [""], "age": [1]}, [keyless]) == [{"age": 1}]


def test_every_fault_is_told_at_once() -> None:
    found = faults(user_id=..., years=[1], color=["red"], extra="x")
    assert found["df.user_id"] == "is missing"
    assert found["df.years"] == "gives age a second time"
    assert found["df.color"].startswith("unknown; expected: user_id, age")
    assert found["df.extra"].startswith("must be an array")
    assert "user_id has 1, age has 2" in faults(age=[1, 2])["df"]


def test_no_rows_are_no_fault() -> None:
    assert rows(**{name: [] for name in ROW}) == []
