"""The rules by which the sides of serving and training are compared."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.skew.compare import AHEAD, LAGGING, MATCHED, Outcome, Side, canonical, differing, judge, judge_computed
from app.skew.findings import Kind

PRESENT, NULL, NOT_FOUND, OLD = "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"
AT = 1_000_000
DTYPES = ("INT64", "FLOAT", "STRING_LIST", "MAP")

values = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(width=32, allow_nan=False),
    st.none() | st.lists(st.text(), max_size=3),
    st.none() | st.dictionaries(st.text(), st.integers(), max_size=3),
)
moments = st.integers(0, AT)


def side(moment: int | None, found: tuple[Any, ...]) -> Side:
    """A row that holds."""
    return Side(moment, [NULL if value is None else PRESENT for value in found], list(found))


def nothing(status: str = NOT_FOUND, moment: int | None = None) -> Side:
    """No row, or one that does not hold."""
    return Side(moment, [status] * len(DTYPES), [None] * len(DTYPES))


def outcome(online: Side, offline: Side, pushed: bool = False, settled: bool = True) -> Outcome:
    """What they come to."""
    return judge(online, offline, DTYPES, AT, pushed, lambda _: settled).outcome


@given(moments, values, st.booleans(), st.booleans())
def test_equal_sides_are_no_mismatch(moment: int, found: tuple[Any, ...], pushed: bool, settled: bool) -> None:
    assert outcome(side(moment, found), side(moment, found), pushed, settled) is Outcome.MATCHED


@given(moments, values, st.integers(0, 3), values, st.booleans())
def test_a_changed_value_is_a_mismatch_that_names_its_feature(
    moment: int, found: tuple[Any, ...], place: int, others: tuple[Any, ...], pushed: bool
) -> None:
    changed = (*found[:place], others[place], *found[place + 1 :])
    assume(canonical(changed[place], DTYPES[place]) != canonical(found[place], DTYPES[place]))
    verdict = judge(side(moment, changed), side(moment, found), DTYPES, AT, pushed, lambda there: there)
    assert verdict.outcome is Outcome.MISMATCHED
    assert list(verdict.features) == [place]
    assert verdict.kind is (Kind.STATUS if None in (changed[place], found[place]) else Kind.VALUE)


@given(moments, moments, values, values, st.booleans())
def test_lag_is_never_a_mismatch(
    one: int, other: int, old: tuple[Any, ...], new: tuple[Any, ...], pushed: bool
) -> None:
    assume(one != other)
    online, offline = side(min(one, other), old), side(max(one, other), new)
    assert outcome(online, offline, pushed, settled=False) is not Outcome.MISMATCHED
    assert outcome(nothing(), offline, pushed, settled=False) is Outcome.LAGGING
    # A correction that waits for the next materialization.
    assert outcome(side(one, old), side(one, new), pushed, settled=False) is not Outcome.MISMATCHED


@given(moments, values)
def test_a_row_that_was_materialized_and_is_not_online_is_missing(moment: int, found: tuple[Any, ...]) -> None:
    verdict = judge(nothing(), side(moment, found), DTYPES, AT, False, lambda there: not there)
    assert (verdict.outcome, verdict.kind) == (Outcome.MISMATCHED, Kind.MISSING)
    assert list(verdict.features) == [0, 1, 2, 3]


@given(moments, values)
def test_a_row_that_the_offline_store_never_had_is_extra_unless_it_may_be_pushed(
    moment: int, found: tuple[Any, ...]
) -> None:
    verdict = judge(side(moment, found), nothing(), DTYPES, AT, False, lambda _: False)
    assert (verdict.outcome, verdict.kind) == (Outcome.MISMATCHED, Kind.EXTRA)
    assert judge(side(moment, found), nothing(), DTYPES, AT, True, lambda _: False) is AHEAD


def test_an_older_row_online_is_missing_where_the_newer_one_was_materialized() -> None:
    old, new = side(1, (1, 1.0, [], {})), side(2, (2, 1.0, [], {}))
    verdict = judge(old, new, DTYPES, AT, False, lambda there: not there)
    assert (verdict.kind, list(verdict.features)) == (Kind.MISSING, [0])
    # What differs is nothing that anybody is served.
    assert judge(old, side(2, (1, 1.0, [], {})), DTYPES, AT, False, lambda _: True) is MATCHED


def test_a_row_of_after_the_instant_is_not_compared() -> None:
    assert judge(side(AT + 1, (1, 1.0, [], {})), nothing(), DTYPES, AT, False, lambda _: True) is AHEAD


def test_what_is_too_old_may_be_gone_from_either_store() -> None:
    assert outcome(nothing(), nothing(OLD, 5)) is Outcome.MATCHED
    assert outcome(nothing(OLD, 5), nothing()) is Outcome.MATCHED
    assert outcome(nothing(OLD, 5), nothing(NOT_FOUND, 5)) is Outcome.MISMATCHED


def test_whether_a_row_of_that_time_is_online_is_told_to_who_decides() -> None:
    asked: list[bool] = []

    def settled(there: bool) -> bool:
        asked.append(there)
        return False

    judge(side(3, (1, 1.0, [], {})), side(3, (2, 1.0, [], {})), DTYPES, AT, True, settled)
    judge(side(2, (1, 1.0, [], {})), side(3, (2, 1.0, [], {})), DTYPES, AT, True, settled)
    assert asked == [True, False]


def test_nobody_is_asked_about_what_is_equal() -> None:
    def settled(_: bool) -> bool:
        raise AssertionError("the databases are asked for nothing")

    assert judge(side(3, (1, 1.0, [], {})), side(3, (1, 1.0, [], {})), DTYPES, AT, True, settled) is MATCHED


@given(values, st.integers(1, 3))
def test_an_on_demand_view_is_compared_where_its_inputs_are_equal(found: tuple[Any, ...], inputs: int) -> None:
    one, other = side(None, found), side(None, found)
    assert judge_computed(one, other, DTYPES, inputs) is MATCHED
    changed = dataclasses.replace(
        other, values=[*other.values[:3], {"not": "that"}], statuses=[*other.statuses[:3], PRESENT]
    )
    verdict = judge_computed(one, changed, DTYPES, inputs)
    assert (verdict.kind, list(verdict.features)) == (Kind.TRANSFORMATION, [3])
    unlike = dataclasses.replace(changed, statuses=[OLD, *changed.statuses[1:]])
    assert judge_computed(one, unlike, DTYPES, inputs) is LAGGING


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        (math.nan, None, "DOUBLE"),
        (math.inf, None, "FLOAT"),
        (0.1, float(np.float32(0.1)), "FLOAT"),
        (np.float64(2.5), 2.5, "DOUBLE"),
        (np.int64(3), 3, "INT64"),
        (3, 3.0, "DOUBLE"),
        (1e300, None, "FLOAT"),
        ([1.5, math.nan], [1.5, None], "DOUBLE_LIST"),
        ([0.1], [float(np.float32(0.1))], "FLOAT_LIST"),
        (["b", "a"], ["a", "b"], "STRING_SET"),
        ({"a": 1, "b": [math.nan]}, {"b": [None], "a": 1}, "MAP"),
        ([{"a": 1}], [{"a": 1}], "MAP_LIST"),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, microsecond=9, tzinfo=UTC), "UNIX_TIMESTAMP"),
        ("1.50", "1.5", "DECIMAL"),
        (b"\x00\xff", b"\x00\xff", "BYTES"),
    ],
)
def test_equal_values_come_in_different_forms(one: Any, other: Any, dtype: str) -> None:
    assert canonical(one, dtype) == canonical(other, dtype)


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        (0.1, 0.1 + 1e-12, "DOUBLE"),
        (2**53, 2**53 + 1, "INT64"),
        (["a", "b"], ["b", "a"], "STRING_LIST"),
        ("a", "a ", "STRING"),
        ({"a": None}, {}, "MAP"),
        (True, None, "BOOL"),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC), "UNIX_TIMESTAMP"),
    ],
)
def test_unlike_values_stay_unlike(one: Any, other: Any, dtype: str) -> None:
    assert canonical(one, dtype) != canonical(other, dtype)


def test_differing_names_the_places() -> None:
    one, other = side(1, (1, 1.0, ["a"], {})), side(1, (1, 2.0, ["a"], None))
    assert differing(one, other, DTYPES) == [1, 3]
