"""Which part files are merged: few are left, no row is rewritten too often, and what is large stays."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from app.stores.offline_compaction import MOST_PARTS, TARGET_BYTES, TARGET_ROWS, Part, is_small, plan

MB = 2**20


def part(number: int, size: int, rows: int = 1) -> Part:
    return Part(f"part-{number:08}", size, rows)


sizes = st.lists(
    st.tuples(st.integers(500, 200 * MB), st.integers(1, 2 * TARGET_ROWS))
    | st.tuples(st.integers(500, 5000), st.integers(1, 50)),
    max_size=300,
)


def left(parts: list[Part]) -> list[Part]:
    """The parts after the plan was carried out."""
    groups = plan(parts)
    gone = {one.name for group in groups for one in group}
    merged = [
        Part(f"merged-{number:08}", sum(one.size for one in group), sum(one.rows for one in group))
        for number, group in enumerate(groups)
    ]
    return [*(one for one in parts if one.name not in gone), *merged]


@given(sizes)
def test_a_plan_merges_small_parts_once_each_and_leaves_few(found: list[tuple[int, int]]) -> None:
    parts = [part(number, size, rows) for number, (size, rows) in enumerate(found)]
    groups = plan(parts)
    chosen = [one for group in groups for one in group]
    assert len({one.name for one in chosen}) == len(chosen)
    assert all(len(group) > 1 for group in groups)
    assert all(is_small(one.size, one.rows) for one in chosen)
    names = [one.name for one in chosen]
    assert names == sorted(names)
    for group in groups:
        # The last part of a group is the one that reached the target.
        assert sum(one.size for one in group[:-1]) < TARGET_BYTES
        assert sum(one.rows for one in group[:-1]) < TARGET_ROWS
    assert len([one for one in left(parts) if is_small(one.size, one.rows)]) <= MOST_PARTS


@given(sizes.filter(lambda found: len(found) <= MOST_PARTS))
def test_nothing_is_merged_while_there_are_few(found: list[tuple[int, int]]) -> None:
    assert plan([part(number, size, rows) for number, (size, rows) in enumerate(found)]) == []


def test_a_row_is_rewritten_once_per_doubling_however_long_pushes_go_on() -> None:
    """Parts of 3 kB for as long as it takes to fill several large ones: 65 appends between two compactions."""
    parts: list[Part] = []
    written = appended = 0
    for number in range(400 * 65):
        parts.append(part(number, 3000))
        appended += 3000
        if number % 65 == 64:
            written += sum(one.size for group in plan(parts) for one in group)
            parts = left(parts)
            assert len(parts) <= MOST_PARTS
    assert written / appended <= math.log2(TARGET_BYTES / 4 / 3000)


def test_the_large_part_waits_until_the_small_ones_are_worth_it() -> None:
    large = part(0, 10 * MB)
    few = [large, *(part(number, MB // 10) for number in range(1, 80))]
    assert [large in group for group in plan(few)] == [False]
    many = [large, *(part(number, MB // 10) for number in range(1, 110))]
    assert [large in group for group in plan(many)] == [True]
