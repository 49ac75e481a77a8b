"""Whole columns at one look: what the look at each value finds, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.value_columns import plain_column
from app.values import ValueFault, parse
from tests.unit.json_values import ANY_VALUES, TIMES

_LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "STRING": st.text(st.characters(), max_size=3) | st.sampled_from(["\ud800", "a\0b"]),
    "INT32": st.integers(-(2**31) - 1, 2**31),
    "INT64": st.integers(-(2**63) - 1, 2**63),
    "FLOAT": st.floats() | st.integers(),
    "DOUBLE": st.floats() | st.integers() | st.just(10**400),
    "BOOL": st.booleans(),
    "UNIX_TIMESTAMP": TIMES,
    "BYTES": st.binary(max_size=3) | st.just("AAH/"),
}


def by_value(values: Sequence[Any], dtype: str) -> list[Any] | None:
    try:
        return [parse(value, dtype) for value in values]
    except ValueFault:
        return None


@given(data=st.data(), dtype=st.sampled_from(sorted(_LIKELY)))
def test_a_column_at_one_look_is_its_values_one_by_one(data: st.DataObject, dtype: str) -> None:
    likely = _LIKELY[dtype]
    values = data.draw(st.one_of(st.lists(likely), st.lists(st.none() | likely), st.lists(ANY_VALUES)))
    plain, wanted = plain_column(values, dtype), by_value(values, dtype)
    assert plain is None or (wanted is not None and repr(list(plain)) == repr(wanted))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("STRING", ["a", None, "ü"]),
        ("INT32", [1, None, -(2**31)]),
        ("INT64", [1, None, 2**63 - 1]),
        ("FLOAT", [0.1, None, 1]),
        ("DOUBLE", [0.1, None, 1]),
        ("BOOL", [True, None]),
        ("UNIX_TIMESTAMP", ["2026-01-01T00:00:00Z", None]),
        ("BYTES", [b"a", None]),
    ],
)
def test_plain_columns_of_every_type_are_taken_at_one_look(dtype: str, values: list[Any]) -> None:
    plain = plain_column(values, dtype)
    assert plain is not None
    assert list(plain) == by_value(values, dtype)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("STRING", ["a", "a\0b"]),
        ("STRING", ["a", "\ud800"]),
        ("STRING", ["a", 1]),
        ("INT32", [1, 2**31]),
        ("INT64", [1, -(2**63) - 1]),
        ("INT64", [1, True]),
        ("FLOAT", [1, 1e39]),
        ("DOUBLE", [1.5, float("inf")]),
        ("DOUBLE", [1.5, 10**400]),
        ("BOOL", [True, 1]),
        ("UNIX_TIMESTAMP", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00"]),
        ("UNIX_TIMESTAMP", ["2026-01-01T00:00:00Z", "1700-01-01T00:00:00Z"]),
        ("UNIX_TIMESTAMP", ["2026-01-01T00:00:00"]),
        ("STRING_LIST", [["a"]]),
    ],
)
def test_other_columns_get_the_look_at_each_value(dtype: str, values: list[Any]) -> None:
    assert plain_column(values, dtype) is None
