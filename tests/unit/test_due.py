"""Rows that wait for their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain import PushOutcome, ViewSpec, to_microseconds, to_moment
from app.errors import StoreUnavailableError, TooBusyError
from app.pushing.batch import RowBatch
from app.pushing.due import DueRows
from tests.unit.catalogs import profile

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def rows(*moments: datetime, user: str = "u") -> RowBatch:
    """One row of `profile` at each of the moments."""
    columns: dict[str, list[Any]] = {
        "user_id": [user] * len(moments),
        "age": [1] * len(moments),
        "name": [None] * len(moments),
    }
    return RowBatch(columns, [to_microseconds(moment) for moment in moments], [0] * len(moments))


class Store:
    def __init__(self) -> None:
        self.now = NOW
        self.broken = False
        self.calls = 0
        self.written: list[datetime] = []

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        if self.broken:
            raise StoreUnavailableError("down")
        self.calls += 1
        self.written += map(to_moment, batch.event)
        return [PushOutcome.APPLIED] * len(batch)


def test_rows_are_written_in_the_order_of_their_time_and_never_before_it() -> None:
    store = Store()
    due = DueRows(store, lambda: store.now)
    for seconds in (3, 1, 2):
        due.add(profile, rows(NOW + SECOND * seconds), [0])
    assert due.write_due()
    assert store.written == []
    store.now = NOW + SECOND * 2
    assert due.write_due()
    assert store.written == [NOW + SECOND, NOW + SECOND * 2]
    assert len(due) == 1


def test_rows_wait_on_while_the_store_is_down() -> None:
    store = Store()
    due = DueRows(store, lambda: store.now)
    due.add(profile, rows(NOW), [0])
    store.broken = True
    assert not due.write_due()
    assert len(due) == 1
    store.broken = False
    assert due.write_due()
    assert store.written == [NOW]


def test_a_row_that_cannot_be_written_does_not_hold_up_the_others() -> None:
    class Picky(Store):
        def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
            if to_microseconds(NOW - SECOND) in batch.event:
                raise KeyError("a value that the store cannot keep")
            return super().write(view, batch)

    store = Picky()
    due = DueRows(store, lambda: store.now)
    due.add(profile, rows(NOW - 2 * SECOND, NOW - SECOND, NOW), range(3))
    due.add(profile, rows(NOW - SECOND), [0])
    assert due.write_due()
    assert store.written == [NOW - 2 * SECOND, NOW]
    assert len(due) == 0


def test_rows_that_came_together_are_written_together_where_they_are_due() -> None:
    store = Store()
    due = DueRows(store, lambda: store.now)
    due.add(profile, rows(*(NOW + SECOND * seconds for seconds in (2, 9, 1, 3))), [0, 2, 3])
    store.now = NOW + 2 * SECOND
    assert due.write_due()
    assert (store.calls, store.written) == (1, [NOW + SECOND, NOW + 2 * SECOND])
    assert len(due) == 1


def test_a_row_that_comes_while_another_is_written_is_kept() -> None:
    class Slow(Store):
        def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
            if not self.written:
                # Another thread's push, of a row that is due earlier.
                due.add(profile, rows(NOW - SECOND, user="other"), [0])
            return super().write(view, batch)

    store = Slow()
    due = DueRows(store, lambda: store.now)
    due.add(profile, rows(NOW, user="first"), [0])
    assert due.write_due()
    assert store.written == [NOW, NOW - SECOND]


def test_a_row_of_the_future_is_refused_where_too_many_wait_and_any_other_is_not() -> None:
    store = Store()
    due = DueRows(store, lambda: store.now, most_rows=2)
    ahead = rows(NOW, NOW + SECOND)
    due.require_room(ahead.event)
    due.add(profile, rows(NOW + SECOND, NOW + SECOND), [0, 1])
    with pytest.raises(TooBusyError, match="2 rows ahead of the clock"):
        due.require_room(ahead.event)
    due.require_room(rows(NOW, NOW - SECOND).event)
    due.require_room([])
    store.now += SECOND
    due.require_room(ahead.event)
    assert due.write_due()
    due.require_room(rows(NOW + 2 * SECOND).event)
