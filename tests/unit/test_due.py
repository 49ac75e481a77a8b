"""Rows that wait for their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.domain import EntityKey, PushOutcome, ViewSpec, WriteRow
from app.errors import StoreUnavailableError
from app.pushing.due import DueRows
from tests.unit.catalogs import profile

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Store:
    def __init__(self) -> None:
        self.now = NOW
        self.broken = False
        self.written: list[datetime] = []

    def write(self, view: ViewSpec, rows: Sequence[WriteRow]) -> list[PushOutcome]:
        if self.broken:
            raise StoreUnavailableError("down")
        self.written += [row.event_timestamp for row in rows]
        return [PushOutcome.APPLIED] * len(rows)


def test_rows_are_written_in_the_order_of_their_time_and_never_before_it() -> None:
    store = Store()
    due = DueRows(store, lambda: store.now)
    for seconds in (3, 1, 2):
        due.add(profile, WriteRow(EntityKey(("user_id",), ("u",)), {}, NOW + SECOND * seconds, None))
    assert due.write_due()
    assert store.written == []
    store.now = NOW + SECOND * 2
    assert due.write_due()
    assert store.written == [NOW + SECOND, NOW + SECOND * 2]
    assert len(due) == 1


def test_rows_wait_on_while_the_store_is_down() -> None:
    store = Store()
    due = DueRows(store, lambda: store.now)
    due.add(profile, WriteRow(EntityKey(("user_id",), ("u",)), {}, NOW, None))
    store.broken = True
    assert not due.write_due()
    assert len(due) == 1
    store.broken = False
    assert due.write_due()
    assert store.written == [NOW]


def test_a_row_that_cannot_be_written_does_not_hold_up_the_others() -> None:
    class Picky(Store):
        def write(self, view: ViewSpec, rows: Sequence[WriteRow]) -> list[PushOutcome]:
            if rows[0].created_timestamp is None:
                raise KeyError("its view is gone")
            return super().write(view, rows)

    store = Picky()
    due = DueRows(store, lambda: store.now)
    due.add(profile, WriteRow(EntityKey(("user_id",), ("bad",)), {}, NOW - SECOND, None))
    due.add(profile, WriteRow(EntityKey(("user_id",), ("good",)), {}, NOW, NOW))
    assert due.write_due()
    assert store.written == [NOW]
    assert len(due) == 0


def test_a_row_that_comes_while_another_is_written_is_kept() -> None:
    class Slow(Store):
        def write(self, view: ViewSpec, rows: Sequence[WriteRow]) -> list[PushOutcome]:
            if not self.written:
                # Another thread's push, of a row that is due earlier.
                due.add(profile, WriteRow(EntityKey(("user_id",), ("other",)), {}, NOW - SECOND, None))
            return super().write(view, rows)

    store = Slow()
    due = DueRows(store, lambda: store.now)
    due.add(profile, WriteRow(EntityKey(("user_id",), ("first",)), {}, NOW, None))
    assert due.write_due()
    assert store.written == [NOW, NOW - SECOND]
