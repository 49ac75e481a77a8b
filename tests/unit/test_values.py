"""app.values: strict on the way in, exact on the way out."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.values import ValueFault, format_timestamp, parse, parse_timestamp, to_json


@pytest.mark.parametrize(
    ("value", "dtype", "native"),
    [
        (2**63 - 1, "INT64", 2**63 - 1),
        (-(2**63), "INT64", -(2**63)),
        (-(2**31), "INT32", -(2**31)),
        (3, "DOUBLE", 3.0),
        (0.1, "FLOAT", 0.10000000149011612),
        (True, "BOOL", True),
        ("ü", "STRING", "ü"),
        ("AAH/", "BYTES", b"\x00\x01\xff"),
        ("2026-01-02T03:04:05+01:00", "UNIX_TIMESTAMP", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ([1, 2], "INT64_LIST", [1, 2]),
        ({"a": [1, None]}, "MAP", {"a": [1, None]}),
        ("1.10", "DECIMAL", "1.10"),
        (None, "INT64", None),
    ],
)
def test_values_that_fit_become_native(value: Any, dtype: str, native: Any) -> None:
    assert parse(value, dtype) == native


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (True, "INT64", "expected an integer, got a boolean"),
        (1.0, "INT64", "expected an integer, got a number"),
        ("1", "INT64", "expected an integer, got a string"),
        (2**63, "INT64", "64-bit"),
        (2**31, "INT32", "32-bit"),
        (math.nan, "DOUBLE", "NaN"),
        (math.inf, "FLOAT", "finite"),
        (1e39, "FLOAT", "32-bit float"),
        (10**400, "DOUBLE", "64-bit float"),
        (1, "BOOL", "true or false"),
        (1, "STRING", "expected a string"),
        ("\ud800", "STRING", "surrogate"),
        ("%%%", "BYTES", "base64"),
        ("ü", "BYTES", "base64"),
        (1, "BYTES", "expected a string"),
        ("yesterday", "UNIX_TIMESTAMP", "RFC 3339"),
        (True, "UNIX_TIMESTAMP", "a boolean"),
        ([1, "2"], "INT64_LIST", "at index 1"),
        (1, "INT64_LIST", "expected an array"),
        ([1], "MAP", "expected an object"),
        ({"a": math.nan}, "JSON", "NaN"),
        ("x", "UUID", "UUID"),
        ("NaN", "DECIMAL", "finite"),
        (1, "UNKNOWN", "cannot be written"),
    ],
)
def test_values_that_do_not_fit_are_faults_that_say_why(value: Any, dtype: str, message: str) -> None:
    with pytest.raises(ValueFault, match=message):
        parse(value, dtype)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001
def test_timestamps_survive_a_round_trip_in_any_zone(naive: datetime, hours: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert parse_timestamp(format_timestamp(moment)) == moment
    assert parse_timestamp(naive.isoformat()) == naive.replace(tzinfo=UTC)


def test_nanoseconds_are_truncated_and_absurd_times_refused() -> None:
    assert parse_timestamp("2026-01-01T00:00:00.123456789Z").microsecond == 123456
    for absurd in (1e300, -1e300, math.nan, math.inf, 10**30):
        with pytest.raises(ValueFault):
            parse_timestamp(absurd)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), st.lists))
def test_everything_native_has_a_json_form_without_nan(value: Any) -> None:
    def finite(entry: Any) -> bool:
        if isinstance(entry, list):
            return all(map(finite, entry))
        return not isinstance(entry, float) or math.isfinite(entry)

    assert finite(to_json(value))
