"""Values, pandas and Arrow through the client: what goes in arrives as the server reads it, what comes out is exact."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.call import json_body
from app.client.columns import Column, to_arrow, to_pandas, typed
from app.client.features import EntityFeatures, OnlineFeatures
from app.client.tables import columns_of
from app.client.values import json_value
from app.values import format_timestamp, parse
from tests.unit.client_world import MANY, ONE

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
# PostgreSQL cannot store NUL, and UTF-8 no lone surrogate: the server refuses both.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1800, 1, 3), datetime(8999, 12, 30), timezones=ZONES)  # noqa: DTZ001
SCALARS = {
    "INT64": INT64,
    "DOUBLE": FLOAT,
    "STRING": TEXT,
    "BOOL": st.booleans(),
    "BYTES": st.binary(),
    "UNIX_TIMESTAMP": MOMENTS,
    "UUID": st.uuids().map(str),
}
TYPES = SCALARS | {f"{name}_LIST": st.lists(values) for name, values in SCALARS.items()}
columns = st.sampled_from(sorted(TYPES)).flatmap(
    lambda dtype: st.tuples(st.just(dtype), st.lists(st.none() | TYPES[dtype], min_size=1, max_size=8))
)


def as_the_server_reads(values: list[Any], dtype: str) -> list[Any]:
    sent = json.loads(json_body([json_value(value, "x") for value in values]))
    return [parse(value, dtype) for value in sent]


@given(columns)
def test_what_is_sent_is_what_the_server_reads(column: tuple[str, list[Any]]) -> None:
    dtype, values = column
    assert as_the_server_reads(values, dtype) == values


@given(st.lists(st.tuples(st.none() | INT64, st.none() | FLOAT, st.none() | TEXT, MOMENTS), min_size=1, max_size=8))
def test_rows_are_the_same_from_pandas_from_arrow_and_from_lists(rows: list[tuple[Any, ...]]) -> None:
    ints, floats, texts, moments = (list(column) for column in zip(*rows, strict=True))
    utc = pa.timestamp("us", "UTC")
    table = pa.table(
        {"i": pa.array(ints, pa.int64()), "f": pa.array(floats, pa.float64()), "t": texts, "at": pa.array(moments, utc)}
    )
    # As read_parquet gives it, say: a missing float is NaN there, and a missing integer NA.
    frame = pd.DataFrame(
        {
            "i": pd.array(ints, dtype="Int64"),
            "f": pd.Series(floats, dtype="float64"),
            "t": pd.Series(texts, dtype=object),
            "at": pd.Series(moments, dtype="datetime64[us, UTC]"),
        }
    )
    expected = {"i": ints, "f": floats, "t": texts, "at": moments}

    for given_as in (table, frame, expected):
        found = columns_of(given_as)
        assert list(found) == list(expected)
        for name, dtype in {"i": "INT64", "f": "DOUBLE", "t": "STRING", "at": "UNIX_TIMESTAMP"}.items():
            assert as_the_server_reads(found[name], dtype) == expected[name]


def as_json(value: Any) -> Any:
    """A native value as the server writes it into an answer."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return format_timestamp(value)
    return [as_json(entry) for entry in value] if isinstance(value, list) else value


@given(columns)
def test_a_typed_column_comes_out_as_it_was(column: tuple[str, list[Any]]) -> None:
    dtype, values = column
    answer = [Column("x", json.loads(json.dumps([as_json(value) for value in values])))]

    table = to_arrow(typed(answer, {"x": dtype}))
    frame = to_pandas(typed(answer, {"x": dtype}))

    assert table.column("x").to_pylist() == values
    assert columns_of(frame)["x"] == values


@given(
    st.sampled_from(
        [INT64, FLOAT, TEXT, st.booleans(), st.lists(INT64, min_size=1), st.lists(TEXT, min_size=1)]
    ).flatmap(lambda values: st.lists(st.none() | values, max_size=8))
)
def test_a_column_whose_type_nobody_told_is_exact_too(values: list[Any]) -> None:
    assert to_arrow([Column("x", values)]).column("x").to_pylist() == values
    assert columns_of(to_pandas([Column("x", values)]))["x"] == values


@pytest.mark.parametrize(
    ("values", "arrow", "pandas"),
    [
        ([2**53 + 1, None], pa.int64(), "Int64"),
        ([1, 0.5, None], pa.float64(), "float64"),
        ([True, None], pa.bool_(), "boolean"),
        (["a", None], pa.string(), "object"),
        ([None, None], pa.null(), "object"),
        ([[1], None], pa.list_(pa.int64()), "object"),
    ],
)
def test_types_that_are_read_from_values(values: list[Any], arrow: pa.DataType, pandas: str) -> None:
    assert to_arrow([Column("x", values)]).schema.field("x").type == arrow
    assert str(to_pandas([Column("x", values)])["x"].dtype) == pandas


@pytest.mark.parametrize(
    "values",
    [
        [{"a": 1}, {"b": 2}],
        [[1, "a"], None],
        [[], [[1]]],
        [1, "a"],
        [2**53 + 1, 0.5],
        [2**70],
    ],
)
def test_what_arrow_would_change_is_json_text_there(values: list[Any]) -> None:
    table = to_arrow([Column("x", values)])

    assert table.schema.field("x").type == pa.string()
    assert [None if text is None else json.loads(text) for text in table.column("x").to_pylist()] == values
    assert to_pandas([Column("x", values)])["x"].tolist() == values


def test_a_type_that_feast_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="x: INT65 is not the name"):
        typed([Column("x", [1])], {"x": "INT65"})


def test_answers_as_tables_with_statuses_and_times() -> None:
    many = OnlineFeatures.read(MANY)

    table = many.to_arrow()

    assert table.to_pydict() == {
        "user_id": ["u1", "u2"],
        "va:a": [2**53 + 1, None],
        "vb:b": [None, 0.5],
        "va:a.status": ["PRESENT", "NOT_FOUND"],
        "vb:b.status": ["NULL_VALUE", "PRESENT"],
        "va.event_timestamp": [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None],
        "vb.event_timestamp": [None, datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)],
    }
    assert columns_of(many.to_pandas()) == table.to_pydict()
    assert many.to_pandas(statuses=False, event_timestamps=False).columns.tolist() == ["user_id", "va:a", "vb:b"]
    assert many.to_arrow(statuses=False).column_names[-2:] == ["va.event_timestamp", "vb.event_timestamp"]
    one = EntityFeatures.read(ONE)
    assert one.to_arrow().num_rows == 1
    assert one.to_pandas(types={"b": "DOUBLE"})["b"].dtype == "float64"
    assert one.to_pandas()["a"].tolist() == [2**53 + 1]
    assert one.to_arrow(event_timestamps=False).column_names == ["user_id", "a", "b", "a.status", "b.status"]


def test_a_feature_that_was_asked_for_twice_is_there_twice() -> None:
    twice = OnlineFeatures.read(
        {
            "features": ["v:a", "v:a"],
            "entities": {"k": [1]},
            "values": [[5, 5]],
            "statuses": [["PRESENT", "PRESENT"]],
            "event_timestamps": {"v": [None]},
        }
    )
    assert twice.to_pandas(statuses=False, event_timestamps=False).columns.tolist() == ["k", "v:a", "v:a"]
    assert twice.to_arrow(statuses=False, event_timestamps=False).column_names == ["k", "v:a", "v:a"]


def test_what_pandas_calls_missing_is_null_and_infinity_is_not() -> None:
    frame = pd.DataFrame({"f": [0.5, np.nan], "o": ["a", None], "at": [pd.Timestamp("2026-01-02"), pd.NaT]})
    assert columns_of(frame) == {"f": [0.5, None], "o": ["a", None], "at": [pd.Timestamp("2026-01-02"), None]}
    # In Arrow NaN is a value, if one that no feature has.
    assert str(columns_of(pa.table({"f": [np.nan, None]}))["f"]) == "[nan, None]"
    with pytest.raises(ValueError, match=r"f\[0\]"):
        json_value(columns_of(pd.DataFrame({"f": [np.inf]}))["f"], "f")


def test_arrow_times_of_any_unit_and_maps() -> None:
    nanos = pa.array([1_767_323_045_123_456_789, None, -1], pa.timestamp("ns"))
    maps = pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64()))

    found = columns_of(pa.table({"at": nanos, "m": maps}))

    assert found["m"] == [{"a": 1}, None, {}]
    # As pandas and numpy say it, and as the server cuts digits off: towards the past.
    expected = ["2026-01-02T03:04:05.123456Z", None, "1969-12-31T23:59:59.999999Z"]
    assert [json_value(value, "at") for value in found["at"]] == expected
    assert [json_value(value, "at") for value in columns_of({"at": nanos.to_pandas()})["at"]] == expected
    assert json_value(nanos.to_numpy(zero_copy_only=False), "at") == expected


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError),
        (pd.DataFrame({1: [2]}), TypeError),
        (pa.table([[1], [2]], names=["a", "a"]), ValueError),
        ({"a": "text"}, TypeError),
        ({"a": {"b": 1}}, TypeError),
    ],
)
def test_columns_that_have_no_name_of_their_own(frame: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        columns_of(frame)
