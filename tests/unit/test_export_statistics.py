"""Statistics of features: every value counted once, by its status."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import ValueStatus
from app.exports.join import HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE
from app.exports.statistics import FeatureStatistics, StatisticsCollector

PRESENT, NULL_VALUE = ValueStatus.PRESENT, ValueStatus.NULL_VALUE
BY_CODE = {NOT_FOUND: ValueStatus.NOT_FOUND, OUTSIDE_MAX_AGE: ValueStatus.OUTSIDE_MAX_AGE}
ROWS = st.lists(st.tuples(st.sampled_from([HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE]), st.none() | st.integers(0, 9)))


def codes(values: list[int]) -> pa.Array:
    return pa.array(values, pa.int8())


def value(code: int, found: int | None) -> int | None:
    return found if code == HOLDS else None


def status(code: int, found: int | None) -> ValueStatus:
    return BY_CODE.get(code) or (NULL_VALUE if found is None else PRESENT)


@given(st.lists(ROWS))
def test_counts_are_those_of_a_loop_over_all_rows(batches: list[list[tuple[int, int | None]]]) -> None:
    collector = StatisticsCollector(["a", "b", "doubled"])
    for rows in batches:
        column = pa.array([value(*row) for row in rows], pa.int64())
        shared = codes([code for code, _ in rows])
        nulls = pa.nulls(len(rows), pa.string())
        batch = pa.record_batch({"a": column, "spine": column, "b": nulls, "doubled": column})
        collector.add(batch, {"a": shared, "b": shared, "doubled": [status(*row) for row in rows]})

    a, b, doubled = collector.result()
    rows = [row for batch in batches for row in batch]
    expected = Counter(status(*row) for row in rows)
    assert a.statuses == {name: expected[name] for name in ValueStatus}
    assert (a.feature, a.rows, a.nulls) == ("a", len(rows), len(rows) - expected[PRESENT])
    assert doubled.statuses == a.statuses
    assert b.statuses == {**a.statuses, PRESENT: 0, NULL_VALUE: expected[PRESENT] + expected[NULL_VALUE]}
    assert b.nulls == len(rows)


def test_shares_are_parts_of_the_rows() -> None:
    found = FeatureStatistics("a", 4, 3, {PRESENT: 1, NULL_VALUE: 3})
    assert (found.share(PRESENT), found.share(NULL_VALUE)) == (0.25, 0.75)
    assert FeatureStatistics("a", 0, 0, {PRESENT: 0}).share(PRESENT) == 0.0


@pytest.mark.parametrize(
    ("values", "statuses", "message"),
    [
        ([1, 2], codes([HOLDS, NOT_FOUND]), "has values where its statuses say"),
        ([1, None], [PRESENT, PRESENT], "has values where its statuses say"),
        ([1, 2], codes([HOLDS]), "has 1 statuses for 2 rows"),
        ([1, None], codes([HOLDS, 3]), "has one of the statuses 0, 1 and 2"),
        ([1, None], pa.array([HOLDS, None], pa.int8()), "has one of the statuses 0, 1 and 2"),
    ],
)
def test_statuses_that_contradict_the_values_are_refused(
    values: list[int | None], statuses: pa.Array, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StatisticsCollector(["a"]).add(pa.record_batch({"a": pa.array(values)}), {"a": statuses})
