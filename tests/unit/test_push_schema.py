"""Pushed rows against the columns of their source: the look at whole columns finds what a look at each value finds, and
says of every faulty row all that is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import FieldSpec, SourceSpec, ViewSpec, to_microseconds
from app.pushing.checked import CheckedRows
from app.pushing.faults import RejectedRow
from app.pushing.schema import PushSchema
from app.values import ValueFault, parse, parse_timestamp
from tests.unit.json_values import ANY_VALUES

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SKEW = timedelta(minutes=5)
SOURCE = SourceSpec("events", "FileSource", "ts", "made")
view = ViewSpec(
    "view",
    (FieldSpec("user", "STRING"), FieldSpec("shop", "INT64")),
    (
        FieldSpec("small", "INT32"),
        FieldSpec("ratio", "FLOAT"),
        FieldSpec("mean", "DOUBLE"),
        FieldSpec("flag", "BOOL"),
        FieldSpec("seen", "UNIX_TIMESTAMP"),
        FieldSpec("tags", "STRING_LIST"),
    ),
    None,
    source=SOURCE,
)
schema = PushSchema("events", [view], SKEW)
GOOD: dict[str, Any] = {
    "user": "u",
    "shop": 1,
    "small": 2,
    "ratio": 0.5,
    "mean": 1.5,
    "flag": True,
    "seen": "2026-01-01T00:00:00Z",
    "tags": ["a"],
}


def check(rows: Sequence[Any]) -> CheckedRows:
    return CheckedRows.joined(list(schema.check(rows, to_microseconds(NOW))))


def reason(**changes: Any) -> str:
    (rejected,) = check([{**GOOD, **changes}]).rejected
    return rejected.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user": None}, "null_join_key: user: a join key must not be null or empty"),
        ({"user": ""}, "null_join_key: user: a join key must not be null or empty"),
        ({"shop": None}, "null_join_key: shop: a join key must not be null or empty"),
        ({"shop": 1.0}, "wrong_type: shop: expected an integer, got a number with a fraction"),
        ({"shop": 2**63}, "out_of_range: shop: out of range for a 64-bit integer"),
        ({"small": 2**31}, "out_of_range: small: out of range for a 32-bit integer"),
        ({"small": True}, "wrong_type: small: expected an integer, got a boolean"),
        ({"ratio": 1e39}, "out_of_range: ratio: out of range for a 32-bit float"),
        ({"mean": float("nan")}, "out_of_range: mean: expected a finite number, got NaN or an infinity"),
        ({"tags": ["a", 1]}, "wrong_type: tags: at index 1: expected a string, got an integer"),
        ({"seen": "9500-01-01T00:00:00Z"}, "out_of_range: seen: expected a time between the years 1800 and 9000"),
        ({"color": 1}, "unknown_column: unknown column color"),
        ({"ts": "yesterday"}, "wrong_type: ts: expected a time in RFC 3339"),
        ({"made": 1e20}, "wrong_type: made: expected a time in RFC 3339"),
        ({"event_timestamp": "2026-11-22T12:05:00.000001Z"}, "future_timestamp: 2026-11-22T12:05:00.000001Z is more"),
        (
            {"made": "2026-11-22T12:05:00.000001Z"},
            "future_timestamp: created_timestamp: 2026-11-22T12:05:00.000001Z is more than 0:05:00 ahead",
        ),
    ],
)
def test_a_fault_has_its_code_and_its_words_alone_and_among_many(changes: dict[str, Any], said: str) -> None:
    assert said in reason(**changes)
    many = check([GOOD] * 20 + [{**GOOD, **changes}] + [GOOD] * 20)
    assert [(row.position, row.reason) for row in many.rejected] == [(20, reason(**changes))]
    assert many.positions == [*range(20), *range(21, 41)]


def test_a_row_has_all_its_faults_at_once() -> None:
    row = {**GOOD, "user": None, "color": 1, "flag": "yes", "ts": "2999-01-01T00:00:00Z"}
    del row["mean"]
    (rejected,) = check([row]).rejected
    assert [(fault.code, fault.column) for fault in rejected.faults] == [
        ("unknown_column", "color"),
        ("missing_column", "mean"),
        ("null_join_key", "user"),
        ("wrong_type", "flag"),
        ("future_timestamp", None),
    ]
    assert [error.field for error in rejected.field_errors()][:2] == ["rows[0].color", "rows[0].mean"]


def test_a_row_with_very_many_faults_names_the_first() -> None:
    (rejected,) = check([{**GOOD, **{f"column-{number}": 1 for number in range(500)}}]).rejected
    assert rejected.reason.endswith("unknown column column-19; unknown_column: 480 more unknown columns")
    assert len(rejected.faults) == 21


def test_what_is_no_object_is_rejected_where_it_stands() -> None:
    found = check([GOOD, 3, "row", None, ["user"], GOOD])
    assert found.positions == [0, 5]
    assert [row.position for row in found.rejected] == [1, 2, 3, 4]
    assert {row.reason for row in found.rejected} == {"wrong_type: a row must be an object"}


@pytest.mark.parametrize("name", ["event_timestamp", "ts"])
@pytest.mark.parametrize(
    ("given_time", "moment"),
    [
        ("2026-11-22T11:00:00.123456789Z", NOW - timedelta(hours=1) + timedelta(microseconds=123456)),
        ("2026-11-22T13:00:00+02:00", NOW - timedelta(hours=1)),
        ("2026-11-22T11:00:00", NOW - timedelta(hours=1)),
        (NOW.timestamp() - 3600, NOW - timedelta(hours=1)),
        (int(NOW.timestamp()) - 3600, NOW - timedelta(hours=1)),
        (None, NOW),
        ("2026-11-22T12:05:00Z", NOW + SKEW),
    ],
)
def test_event_times(name: str, given_time: Any, moment: datetime) -> None:
    for number in (1, 10):
        assert list(check([{**GOOD, name: given_time}] * number).batch.event) == [to_microseconds(moment)] * number


def test_of_two_event_times_the_neutral_one_counts_where_it_is_there() -> None:
    rows = [{**GOOD, "event_timestamp": time, "ts": 2} for time in (1, None)]
    assert check(rows).batch.event == [1_000_000, 2_000_000]


def test_rows_without_a_time_stand_beside_rows_that_have_one() -> None:
    found = check([GOOD, {**GOOD, "ts": 1}, GOOD, {**GOOD, "made": 2}])
    assert found.batch.event == [to_microseconds(NOW), 1_000_000, to_microseconds(NOW), to_microseconds(NOW)]
    assert found.batch.created == [None, None, None, 2_000_000]


def test_parts_are_small_and_together_the_whole() -> None:
    rows = [{**GOOD, "shop": number} for number in range(1001)]
    rows[700] = {**GOOD, "shop": "x"}
    parts = list(schema.check(rows, 0))
    assert max(len(part) for part in parts) == 250
    whole = CheckedRows.joined(parts)
    assert whole.positions == [number for number in range(1001) if number != 700]
    assert whole.batch.columns["shop"] == whole.positions
    assert [row.position for row in whole.rejected] == [700]


def test_columns_that_two_views_share_are_asked_for_once() -> None:
    other = dataclasses.replace(view, name="other", features=(*view.features, FieldSpec("more", "INT64")))
    shared = PushSchema("events", [view, other], SKEW)
    (part,) = shared.check([{**GOOD, "more": 7}], 0)
    assert list(part.batch.columns) == [*GOOD, "more"]


def oracle(rows: Sequence[Any]) -> tuple[list[Mapping[str, Any]], list[int]]:
    """The valid rows and the positions of the others, by a look at each value of each row."""
    valid: list[Mapping[str, Any]] = []
    rejected = []
    dtypes = {field.name: field.dtype for field in (*view.join_keys, *view.features)}
    times = {"event_timestamp", "ts", "created_timestamp", "made"}
    for position, row in enumerate(rows):
        try:
            assert isinstance(row, dict)
            assert dtypes.keys() <= row.keys() <= dtypes.keys() | times
            assert all(row[name] not in (None, "") for name in ("user", "shop"))
            moments = {name: parse_timestamp(row[name]) for name in times & row.keys() if row[name] is not None}
            assert all(moments.get(name, NOW) <= NOW + SKEW for name in ("event_timestamp", "ts"))
            valid.append({name: parse(row[name], dtype) for name, dtype in dtypes.items()})
        except (AssertionError, ValueFault):
            rejected.append(position)
    return valid, rejected


_PAST = st.datetimes(datetime(1900, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.isoformat()
)


@st.composite
def rows_of(draw: st.DrawFn) -> Any:
    row = {**GOOD, "small": draw(st.none() | st.integers(-5, 5))}
    if draw(st.booleans()):
        row["ts"] = draw(st.none() | _PAST)
    for name in draw(st.lists(st.sampled_from([*GOOD, "ts", "other"]), max_size=1)):
        row[name] = draw(ANY_VALUES)
    for name in draw(st.lists(st.sampled_from(sorted(GOOD)), max_size=1)):
        if draw(st.booleans()):
            del row[name]
    return draw(st.one_of(st.just(row), st.just(row), ANY_VALUES)) if draw(st.booleans()) else row


@given(rows=st.lists(rows_of(), min_size=1, max_size=12))
def test_rows_by_the_column_are_rows_one_by_one(rows: list[Any]) -> None:
    valid, rejected = oracle(rows)
    found = check(rows)
    assert [row.position for row in found.rejected] == rejected
    columns = [found.batch.columns[field.name] for field in (*view.join_keys, *view.features)] if valid else []
    assert repr([tuple(row.values()) for row in valid]) == repr(list(zip(*columns, strict=True)))
    assert json.loads(json.dumps([row.reason for row in found.rejected])) == [row.reason for row in found.rejected]
    alone = [RejectedRow(position, check([rows[position]]).rejected[0].faults) for position in rejected]
    assert [set(row.faults) for row in found.rejected] == [set(row.faults) for row in alone]
