"""Markers over a table in memory: there before rows are appended, and as long as any may have to be repaired."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.domain import to_microseconds
from app.errors import StoreUnavailableError
from app.pushing.coverage import Coverage, Covered
from app.pushing.debts import Debt, Debts
from app.pushing.ports import RepairMarker
from tests.unit.repair_markers import MarkersOf, Table

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = to_microseconds(NOW)
SECOND = 1_000_000
MINUTE = timedelta(minutes=1)


class World:
    """One server's coverage, its clock, and what waits until it is due."""

    def __init__(self) -> None:
        self.now = NOW
        self.waiting: int | None = None
        self.table = Table()
        self.debts = Debts()
        self.coverage = Coverage(MarkersOf(self.table), self.debts, lambda: self.waiting, lambda: self.now)

    def push(self, low: int = AT) -> None:
        """A group that gets through."""
        with self.coverage.covering("events", low):
            pass

    def beat_later(self, *minutes: int) -> None:
        for number in minutes:
            self.now += number * MINUTE
            self.coverage.beat()


def test_the_marker_is_there_before_rows_are_and_a_stream_needs_only_one() -> None:
    world = World()
    with world.coverage.covering("events", AT):
        since = world.table.since()
        assert since is not None
        assert since <= NOW - 5 * MINUTE
    for second in range(-200, 200):
        world.push(AT + second * SECOND)
    assert world.table.log == ["save"]


def test_rows_below_the_marker_lower_it_first() -> None:
    world = World()
    world.push()
    day = AT - 86_400 * SECOND
    with world.coverage.covering("events", day):
        since = world.table.since()
        assert since is not None
        assert to_microseconds(since) < day
    assert world.table.log == ["save", "save"]
    # The further back, the wider: rows that go back hour by hour do not write a marker each.
    for hour in range(24, 31):
        world.push(AT - hour * 3600 * SECOND)
    assert world.table.log == ["save", "save"]


def test_nothing_may_be_appended_without_a_marker() -> None:
    world = World()
    world.table.down = True
    with pytest.raises(StoreUnavailableError), world.coverage.covering("events", AT):
        pytest.fail("no marker was written")
    world.table.down = False
    world.push()
    world.table.down = True
    # What is covered needs no table.
    world.push(AT + SECOND)


def test_a_marker_is_closed_when_no_row_was_pushed_for_a_while() -> None:
    world = World()
    world.push()
    world.beat_later(1)
    assert world.table.since() is not None
    world.beat_later(1)
    assert world.table.rows == {}
    world.push(AT + 180 * SECOND)
    assert world.table.since() is not None


def test_a_marker_stays_while_a_group_is_written_or_something_is_owed_or_waits() -> None:
    world = World()
    with world.coverage.covering("events", AT) as group:
        world.beat_later(1, 1, 1, 1)
        assert world.table.since() is not None
        group.owe(AT, AT)
    world.beat_later(1, 1, 1, 1)
    assert world.table.rows["a", "events"].owed
    world.debts.claim("events")
    world.beat_later(1, 1, 1, 1)
    assert world.table.since() is not None
    world.debts.paid("events", None)
    world.waiting = to_microseconds(world.now + MINUTE)
    world.beat_later(1, 1, 1, 1)
    assert world.table.since() is not None
    assert not world.table.rows["a", "events"].owed
    world.waiting = None
    world.beat_later(1)
    assert world.table.rows == {}


def test_a_marker_follows_a_stream_that_never_ends() -> None:
    world = World()
    with ExitStack() as stack:
        for minute in range(60):
            stack.enter_context(world.coverage.covering("events", to_microseconds(world.now)))
            if minute == 20:
                stack.close()
            world.beat_later(1)
        since = world.table.since()
    assert since is not None
    # A group has been running for 40 minutes.
    assert world.now - 60 * MINUTE < since < world.now - 40 * MINUTE
    world.beat_later(1)
    world.push(to_microseconds(world.now))
    world.beat_later(1, 1)
    since = world.table.since()
    assert since is None or since > world.now - 10 * MINUTE
    assert world.table.log.count("save") < 12


def test_an_old_row_widens_a_marker_only_for_a_while() -> None:
    world = World()
    world.push(AT - 86_400 * SECOND)
    for _ in range(4):
        world.push(to_microseconds(world.now))
        world.beat_later(1)
    since = world.table.since()
    assert since is not None
    assert since > world.now - 15 * MINUTE


def test_what_goes_wrong_inside_is_owed() -> None:
    world = World()
    with pytest.raises(KeyError), world.coverage.covering("events", AT):
        raise KeyError
    assert world.debts.claim("events") == Debt(AT, None)


def test_a_marker_that_somebody_took_away_is_written_again() -> None:
    world = World()
    world.push()
    since = world.table.since()
    world.table.rows.clear()
    world.coverage.beat()
    assert world.table.since() == since


def test_an_inherited_marker_is_owed_from_where_it_began() -> None:
    world = World()
    world.push()
    theirs = RepairMarker("b", "events", NOW - 90 * MINUTE, False, NOW)
    world.table.rows["b", "events"] = theirs
    assert world.coverage.inherit(theirs)
    assert not world.coverage.inherit(theirs)
    assert world.table.rows.keys() == {("a", "events")}
    assert world.debts.claim("events") == Debt(AT - 5400 * SECOND, None)
    world.debts.unpaid("events")
    world.beat_later(1, 1, 1)
    since = world.table.since()
    assert since is not None
    assert since <= NOW - 90 * MINUTE


@pytest.mark.parametrize("has_its_own", [False, True])
def test_a_marker_whose_takeover_may_have_succeeded_is_owed_too(has_its_own: bool) -> None:
    world = World()
    if has_its_own:
        world.push()
    world.table.down = True
    with pytest.raises(StoreUnavailableError):
        world.coverage.inherit(RepairMarker("b", "events", NOW - 90 * MINUTE, False, NOW))
    world.table.down = False
    # It did: the answer was lost.
    world.table.rows["a", "events"] = RepairMarker("a", "events", NOW - 90 * MINUTE, True, NOW)
    world.coverage.beat()
    since = world.table.since()
    assert since is not None
    assert since <= NOW - 90 * MINUTE


@pytest.mark.parametrize("why", ["running", "waiting", "owed", "nothing"])
def test_at_the_end_markers_go_or_are_left_to_others(why: str) -> None:
    world = World()
    with ExitStack() as stack:
        group = stack.enter_context(world.coverage.covering("events", AT))
        if why == "owed":
            group.owe(AT, AT)
        if why != "running":
            stack.close()
        world.waiting = AT if why == "waiting" else None
        world.coverage.release()
        left = [(marker.owed, marker.heartbeat) for marker in world.table.rows.values()]
    assert left == ([] if why == "nothing" else [(True, None)])


def test_of_many_at_once_each_finds_its_marker() -> None:
    world = World()
    missing: list[int] = []
    together = threading.Barrier(8)

    def push(number: int) -> None:
        together.wait()
        for step in range(50):
            low = AT - (number * 50 + step) * 3600 * SECOND
            with world.coverage.covering("events", low):
                since = world.table.since()
                if since is None or to_microseconds(since) > low:
                    missing.append(low)
            if step % 10 == 0:
                world.coverage.beat()

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens, and whenever the process is killed: what may be missing online is covered."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.running: list[tuple[ExitStack, Covered]] = []
        self.owed: list[int] = []

    @rule(back=st.sampled_from([-200, -1, 0, 1, 299, 301, 3600, 100_000]))
    def begin(self, back: int) -> None:
        stack = ExitStack()
        low = to_microseconds(self.world.now) - back * SECOND
        try:
            group = stack.enter_context(self.world.coverage.covering("events", low))
        except StoreUnavailableError:
            assert self.world.table.down
            return
        self.running.append((stack, group))

    @precondition(lambda self: self.running)
    @rule(fails=st.booleans())
    def end(self, fails: bool) -> None:
        stack, group = self.running.pop(0)
        if fails:
            group.owe(group.low, group.low)
            self.owed.append(group.low)
        stack.close()

    @rule(seconds=st.sampled_from([3, 61, 1000]))
    def beat(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)
        try:
            self.world.coverage.beat()
        except StoreUnavailableError:
            assert self.world.table.down

    @rule(up=st.booleans())
    def pay(self, up: bool) -> None:
        if self.world.debts.claim("events") is None:
            return
        if up:
            self.world.debts.paid("events", None)
            self.owed.clear()
        else:
            self.world.debts.unpaid("events")

    @rule(down=st.booleans())
    def table(self, down: bool) -> None:
        self.world.table.down = down

    @rule(ahead=st.one_of(st.none(), st.integers(0, 300)))
    def wait(self, ahead: int | None) -> None:
        """Rows that wait came with a group, whose marker is not gone before the next beat."""
        if self.world.table.since() is not None and (self.running or ahead is None):
            now = to_microseconds(self.world.now)
            self.world.waiting = None if ahead is None else now + ahead * SECOND

    @invariant()
    def is_covered(self) -> None:
        lows = [*self.owed, *(group.low for _, group in self.running)]
        if self.world.waiting is not None:
            lows.append(self.world.waiting)
        if lows:
            since = self.world.table.since()
            assert since is not None
            assert to_microseconds(since) <= min(lows)


TestAnyOrder = AnyOrder.TestCase
