"""Repairs over stores in memory: what is owed is read offline and written online, and tried until it is."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from app.domain import ViewSpec, to_microseconds
from app.errors import StoreUnavailableError
from app.pushing import repair as repairs
from app.pushing.debts import Debt, Debts
from app.pushing.repair import Repair
from tests.unit.catalogs import profile

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = to_microseconds(NOW)
SECOND, MINUTE = 1_000_000, 60_000_000

second = dataclasses.replace(profile, name="second")
hidden = dataclasses.replace(profile, name="hidden", online=False)
disabled = dataclasses.replace(profile, name="disabled", enabled=False)


class World:
    """Both stores, and what was asked of them; times relative to NOW in seconds."""

    def __init__(self, *views: ViewSpec) -> None:
        self.now = NOW
        self.views = views or (profile,)
        self.debts = Debts()
        self.online_is_down = False
        self.offline_is_down = False
        self.newest: datetime | None = None
        self.asked: list[tuple[str, float, float]] = []
        self.looks = 0
        self.tries = 0
        self.repair = Repair(self.debts, lambda _: self.views, self.ready, self, lambda: self.now, timedelta(minutes=5))

    def ready(self) -> None:
        self.tries += 1
        if self.online_is_down:
            raise StoreUnavailableError("down")

    def bring_online(self, view: ViewSpec, start: datetime, end: datetime) -> int:
        if self.offline_is_down:
            raise StoreUnavailableError("down")
        self.asked.append((view.name, (start - NOW).total_seconds(), (end - NOW).total_seconds()))
        return 1

    def newest_event(self, view: ViewSpec, start: datetime, end: datetime) -> datetime | None:
        self.looks += 1
        assert (start, end) == (self.now, self.now + timedelta(minutes=5))
        return self.newest if self.newest and start <= self.newest <= end else None


def test_what_is_owed_is_read_for_every_view_that_is_kept_online() -> None:
    world = World(profile, hidden, disabled, second)
    world.debts.incur("events", Debt(AT - 60 * SECOND, AT - 10 * SECOND))
    assert world.repair.pay("events")
    assert world.asked == [("profile", -60, -10), ("second", -60, -10)]
    assert world.debts.push_sources() == []
    assert world.looks == 0


def test_rows_that_somebody_else_left_are_read_up_to_now_and_not_beyond() -> None:
    world = World()
    world.debts.incur("events", Debt(AT - MINUTE, None))
    assert world.repair.pay("events")
    assert world.asked == [("profile", -60, 0)]
    assert world.looks == 1


def test_rows_ahead_of_the_clock_stay_owed_until_their_time() -> None:
    world = World()
    world.newest = NOW + timedelta(seconds=90)
    world.debts.incur("events", Debt(AT - MINUTE, None))
    assert not world.repair.pay("events")
    world.now = NOW + timedelta(seconds=40)
    assert not world.repair.pay("events")
    world.now = NOW + timedelta(seconds=90)
    assert world.repair.pay("events")
    assert world.asked == [("profile", -60, 0), ("profile", 0, 40), ("profile", 40, 90)]
    assert world.debts.push_sources() == []


def test_a_debt_wholly_ahead_of_the_clock_is_not_read_before_its_time() -> None:
    world = World()
    world.debts.incur("events", Debt(AT + 30 * SECOND, AT + 60 * SECOND))
    assert not world.repair.pay("events")
    assert world.asked == []
    world.now = NOW + timedelta(minutes=2)
    assert world.repair.pay("events")
    assert world.asked == [("profile", 30, 60)]


@pytest.mark.parametrize("down", ["online", "offline"])
def test_what_fails_is_owed_as_before(down: str) -> None:
    world = World()
    world.online_is_down, world.offline_is_down = down == "online", down == "offline"
    world.debts.incur("events", Debt(AT - MINUTE, AT))
    with pytest.raises(StoreUnavailableError):
        world.repair.pay("events")
    assert world.asked == []
    assert world.debts.claim("events") == Debt(AT - MINUTE, AT)


def test_what_is_incurred_during_a_repair_stays_owed() -> None:
    world = World()

    class Incurring(World):
        def bring_online(self, view: ViewSpec, start: datetime, end: datetime) -> int:
            if not self.asked:
                self.debts.incur("events", Debt(AT - SECOND, AT))
            return super().bring_online(view, start, end)

    world = Incurring()
    world.debts.incur("events", Debt(AT - MINUTE, AT))
    assert world.repair.pay("events")
    assert world.debts.push_sources() == ["events"]
    assert world.repair.pay("events")
    assert world.asked == [("profile", -60, 0), ("profile", -1, 0)]
    assert world.debts.push_sources() == []


def test_a_push_source_that_is_gone_is_owed_nothing() -> None:
    world = World(hidden)
    world.debts.incur("events", Debt(AT, None))
    assert world.repair.pay("events")
    assert (world.asked, world.debts.push_sources()) == ([], [])


def test_debts_are_added_up() -> None:
    debts = Debts()
    assert debts.incur("events", Debt(5, 9))
    assert not debts.incur("events", Debt(3, 7))
    assert debts.claim("events") == Debt(3, 9)
    assert not debts.incur("events", Debt(4, None))
    assert debts.low("events") == 3
    debts.unpaid("events")
    assert debts.claim("events") == Debt(3, None)
    assert debts.claim("events") is None
    debts.incur("events", Debt(6, 7))
    debts.paid("events", Debt(8, 9))
    assert debts.claim("events") == Debt(6, 9)


def test_it_goes_on_by_itself_until_the_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "_FIRST_DELAY", 0.001)
    monkeypatch.setattr(repairs, "_LONGEST_DELAY", 0.01)
    asyncio.run(_recover_twice())


async def _recover_twice() -> None:
    paid = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Recovering(World):
        def ready(self) -> None:
            self.online_is_down = self.tries < 4
            super().ready()

        def bring_online(self, view: ViewSpec, start: datetime, end: datetime) -> int:
            loop.call_soon_threadsafe(paid.set)
            return super().bring_online(view, start, end)

    world = Recovering()
    running = asyncio.create_task(world.repair.run())
    for _ in range(2):
        paid.clear()
        world.tries = 0
        # From a thread, as pushes are written.
        await asyncio.to_thread(world.debts.incur, "events", Debt(AT - MINUTE, AT))
        await asyncio.wait_for(paid.wait(), 30)
        assert world.tries == 5
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert world.debts.push_sources() == []
    assert len(world.asked) == 2
