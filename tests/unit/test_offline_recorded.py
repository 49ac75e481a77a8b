"""Which stretches of time are looked through for rows that may have been kept."""

from __future__ import annotations

import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from app.stores.offline_recorded import created_at, spans

SECOND = 1_000_000


@given(moments=st.sets(st.integers(-20 * SECOND, 20 * SECOND), max_size=60))
def test_stretches_hold_every_moment_and_lie_apart(moments: set[int]) -> None:
    found = list(spans(moments))
    assert len(found) <= 16
    for moment in moments:
        assert sum(first <= moment <= last for first, last in found) == 1
    for (_, before), (after, _) in itertools.pairwise(found):
        assert after > before + SECOND
    assert {end for stretch in found for end in stretch} <= moments


def test_pushes_of_one_moment_are_one_stretch_and_old_rows_another() -> None:
    assert list(spans({SECOND, 0, 2 * SECOND, 10**15, 4 * SECOND})) == [
        (0, 2 * SECOND),
        (4 * SECOND, 4 * SECOND),
        (10**15, 10**15),
    ]


def test_of_very_many_moments_the_longest_times_between_are_left_out() -> None:
    moments = {number * number * SECOND for number in range(1, 100)}
    found = list(spans(moments))
    assert len(found) == 16
    assert found[0] == (SECOND, 84 * 84 * SECOND)
    assert found[-1] == (99 * 99 * SECOND, 99 * 99 * SECOND)


def test_of_a_stretch_only_the_moments_count() -> None:
    kept = pa.table({"key": [1, 2, 3], "created_timestamp": pa.array([0, 5, None], pa.timestamp("us", tz="UTC"))})
    assert created_at(kept, {5, 7})["key"].to_pylist() == [2]
