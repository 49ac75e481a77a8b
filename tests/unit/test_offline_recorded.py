"""Which stretches of time are looked through for rows that may have been kept."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from app.pushing.batch import RowBatch
from app.stores.offline_recorded import spans

SECOND = 1_000_000
created = st.lists(st.integers(-20 * SECOND, 20 * SECOND), min_size=1, max_size=4)


@given(asked=st.lists(created, max_size=8))
def test_stretches_hold_every_batch_and_lie_apart(asked: list[list[int]]) -> None:
    found = list(spans([RowBatch({}, made, list(made)) for made in asked]))
    for made in asked:
        assert any(first <= min(made) <= max(made) <= last for first, last in found)
    for (_, before), (after, _) in itertools.pairwise(found):
        assert after > before + SECOND
    assert {end for stretch in found for end in stretch} <= {one for made in asked for one in made}


def test_pushes_of_one_moment_are_one_stretch() -> None:
    moments = [[SECOND], [2 * SECOND, 0], [2 * SECOND + SECOND], [5 * SECOND]]
    found = list(spans([RowBatch({}, made, list(made)) for made in moments]))
    assert found == [(0, 3 * SECOND), (5 * SECOND, 5 * SECOND)]
