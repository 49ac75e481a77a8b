"""What a group of pushes tells coverage: when it is asked, and what of the group is owed in which case."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain import PushOutcome, PushTarget, ViewSpec, to_microseconds
from app.errors import CommitUnknownError, StoreUnavailableError
from app.pushing.batch import RowBatch
from app.pushing.checked import CheckedRows
from app.pushing.coverage import Coverage
from app.pushing.debts import Debt, Debts
from app.pushing.due import DueRows
from app.pushing.grouped import GroupedPush
from app.pushing.schema import PushSchema
from app.pushing.writing import GroupWriter
from tests.unit.catalogs import profile
from tests.unit.repair_markers import MarkersOf, Table

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = to_microseconds(NOW)
SCHEMA = PushSchema("events", [profile], timedelta(minutes=5))
BOTH, ONLINE, OFFLINE = PushTarget.ONLINE_AND_OFFLINE, PushTarget.ONLINE, PushTarget.OFFLINE


class World:
    """Both stores and the table of markers; remembers in which order they were written."""

    def __init__(self) -> None:
        self.now = NOW
        self.table = Table()
        self.debts = Debts()
        self.offline_error: Exception | None = None
        self.online_error: Exception | None = None
        self.due = DueRows(self, lambda: self.now)
        self.coverage = Coverage(MarkersOf(self.table), self.debts, self.due.lowest, lambda: self.now)
        self.writer = GroupWriter(self, self, self.due, lambda: self.now, self.coverage)

    def append_batch(self, views: Sequence[ViewSpec], batch: RowBatch) -> None:
        if self.offline_error:
            raise self.offline_error
        self.table.log.append("offline")

    def missing(self, views: Sequence[ViewSpec], batches: Sequence[RowBatch]) -> list[Sequence[int]]:
        self.table.log.append("missing")
        return [[] for _ in batches]

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        if self.online_error:
            raise self.online_error
        self.table.log.append("online")
        return [PushOutcome.APPLIED] * len(batch)

    def push(self, *pushes: GroupedPush) -> list[str]:
        """Write them as one group; what each was told where it failed."""
        self.writer.write(SCHEMA, pushes)
        return [push.error.detail if push.error else "" for push in pushes]

    def owed(self) -> Debt | None:
        return self.debts.claim("events")


def push(target: PushTarget, *seconds: int, again: bool = False) -> GroupedPush:
    """Rows so many seconds from now."""
    columns: dict[str, list[Any]] = {
        "user_id": ["u"] * len(seconds),
        "age": [1] * len(seconds),
        "name": [None] * len(seconds),
    }
    batch = RowBatch(columns, [AT + second * 1_000_000 for second in seconds], [None] * len(seconds))
    return GroupedPush(CheckedRows(range(len(seconds)), batch, []), target, stamp=7 if again else None, again=again)


def test_the_marker_comes_first_and_reaches_as_far_back_as_the_rows() -> None:
    world = World()
    assert world.push(push(ONLINE, -7200), push(BOTH, -1800, -3600, 0)) == ["", ""]
    assert world.table.log == ["save", "offline", "online"]
    since = world.table.since()
    assert since is not None
    assert NOW - timedelta(hours=2) < since < NOW - timedelta(hours=1)
    assert world.owed() is None


@pytest.mark.parametrize("target", [ONLINE, OFFLINE])
def test_rows_for_one_store_need_no_marker(target: PushTarget) -> None:
    world = World()
    world.push(push(target, 0))
    assert world.table.rows == {}
    world.online_error = StoreUnavailableError("down")
    world.push(push(target, 0))
    assert world.owed() is None


def test_what_is_kept_offline_and_not_online_is_owed() -> None:
    world = World()
    world.online_error = StoreUnavailableError("down")
    kept, lost = world.push(push(BOTH, -60, -10), push(ONLINE, -3600))
    assert "the server writes them online by itself" in kept
    assert "may still be written" in lost
    assert world.owed() == Debt(AT - 60_000_000, AT - 10_000_000)


def test_what_an_earlier_try_has_kept_is_owed_too() -> None:
    world = World()
    world.online_error = StoreUnavailableError("down")
    world.push(push(BOTH, -60, again=True))
    assert world.table.log == ["save", "missing"]
    assert world.owed() == Debt(AT - 60_000_000, AT - 60_000_000)


def test_what_may_be_kept_offline_is_owed_and_what_is_not_is_not() -> None:
    world = World()
    world.offline_error = CommitUnknownError("lost")
    world.push(push(BOTH, -60), push(OFFLINE, -3600))
    assert world.owed() == Debt(AT - 60_000_000, AT - 60_000_000)
    world.offline_error = StoreUnavailableError("down")
    world.push(push(BOTH, -60))
    assert world.owed() is None


def test_what_a_bug_leaves_behind_is_owed() -> None:
    world = World()
    world.online_error = KeyError("a bug")
    with pytest.raises(KeyError):
        world.push(push(BOTH, -60, 0))
    assert world.owed() == Debt(AT - 60_000_000, None)


def test_without_a_marker_nothing_is_kept_and_the_others_of_the_group_are_written() -> None:
    world = World()
    world.table.down = True
    both, online, offline = world.push(push(BOTH, 0, again=True), push(ONLINE, 0), push(OFFLINE, 0))
    assert (both, online, offline) == ("down. Nothing was kept", "", "")
    assert world.table.log == ["offline", "online"]
    assert world.owed() is None


def test_rows_ahead_of_the_clock_are_covered_until_they_are_online() -> None:
    world = World()
    world.push(push(BOTH, 200))
    for _ in range(3):
        world.now += timedelta(seconds=65)
        world.coverage.beat()
        assert world.table.since() is not None
    world.online_error = StoreUnavailableError("down")
    world.now += timedelta(seconds=65)
    assert not world.due.write_due()
    world.coverage.beat()
    assert world.table.since() is not None
    world.online_error = None
    assert world.due.write_due()
    world.coverage.beat()
    assert world.table.rows == {}


def test_rows_that_are_just_being_written_are_waiting_still() -> None:
    world = World()
    world.push(push(BOTH, 10))
    world.now += timedelta(seconds=10)
    seen: list[int | None] = []

    class Looking(World):
        def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
            seen.append(world.due.lowest())
            return super().write(view, batch)

    world.due._writer = Looking()
    assert world.due.write_due()
    assert seen == [AT + 10_000_000]
    assert world.due.lowest() is None
