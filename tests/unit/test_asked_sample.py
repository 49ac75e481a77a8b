"""Samples of stores that name no entities: whom they are asked about, how often, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain import EntityKey, ViewSpec
from app.errors import NotFoundError, StoreUnavailableError
from app.freshness.ports import ViewSample, WriteMark
from app.stores.asked_entities import AskedEntities
from app.stores.asked_sample import AskedSampler
from tests.unit.catalogs import meter, profile, visits

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
nobody = ViewSpec("nobody", (), (), None)


def users(*numbers: int) -> list[EntityKey]:
    return [EntityKey(("user_id",), (f"u{number}",)) for number in numbers]


class Time:
    """A clock of seconds that only moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Offline:
    """An offline store that answers in so many seconds; `questions` are what it was asked."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.takes = 0.5
        self.random: Callable[[int], Sequence[EntityKey]] = lambda entities: users(*range(entities))
        self.latest: Callable[[datetime, int], Sequence[EntityKey]] = lambda until, entities: []
        self.questions: list[tuple[str, datetime, int]] = []

    def sample(self, view: ViewSpec, since: datetime | None, until: datetime, entities: int) -> Sequence[EntityKey]:
        """See app.skew.ports.OfflineSampler."""
        assert since is None
        self.questions.append(("sample", until, entities))
        self.time.now += self.takes
        return self.random(entities)

    def newest(self, view: ViewSpec, until: datetime, entities: int) -> Sequence[EntityKey]:
        """See app.stores.asked_entities.OfflineEntities."""
        self.questions.append(("newest", until, entities))
        self.time.now += self.takes
        return self.latest(until, entities)


class World:
    """Entities of an offline store; `ends` are the ends of the materializations that the registry knows."""

    def __init__(self) -> None:
        self.time = Time()
        self.offline = Offline(self.time)
        self.ends: list[datetime] = []
        self.entities = AskedEntities(self.offline, self._feast_views, lambda: NOON, self.time)

    def _feast_views(self) -> Mapping[str, Any]:
        return {"profile": SimpleNamespace(materialization_intervals=[(NOON - 9 * HOUR, end) for end in self.ends])}


@pytest.fixture
def world() -> World:
    return World()


def test_some_of_the_newest_and_most_at_random(world: World) -> None:
    world.offline.latest = lambda until, entities: users(*range(1000, 1000 + entities))
    assert world.entities.of(profile, 20) == users(1000, 1001, *range(18))
    assert world.offline.questions == [("newest", NOON, 2), ("sample", NOON, 20)]


def test_the_newest_of_the_last_materialization_are_asked_for_as_well(world: World) -> None:
    """Rows that have come since are not online, however new; the registry keeps times without a zone."""
    world.ends = [NOON - 2 * HOUR, (NOON - HOUR).replace(tzinfo=None), NOON - 3 * HOUR]
    world.offline.latest = lambda until, entities: users(1000 if until == NOON else 2000)
    assert world.entities.of(profile, 5) == users(1000, 2000, 0, 1, 2)
    assert world.offline.questions[1] == ("newest", NOON - HOUR, 1)


def test_a_materialization_into_the_future_tells_nothing(world: World) -> None:
    world.ends = [NOON + HOUR]
    world.entities.of(profile, 5)
    assert [until for _, until, _ in world.offline.questions] == [NOON, NOON]


def test_the_offline_store_is_asked_for_a_twentieth_of_the_time(world: World) -> None:
    world.entities.of(profile, 5)
    world.time.now = 119.9
    assert world.entities.of(profile, 5) == users(*range(5))
    assert len(world.offline.questions) == 2
    world.time.now = 120.0
    world.entities.of(profile, 5)
    assert len(world.offline.questions) == 4


def test_what_was_known_is_kept_where_the_offline_store_says_nothing(world: World) -> None:
    world.entities.of(profile, 5)

    def unavailable(*_: object) -> Sequence[EntityKey]:
        raise StoreUnavailableError("PostgreSQL (offline store) could not be sampled")

    world.offline.random = world.offline.latest = unavailable
    world.time.now = 200.0
    assert world.entities.of(profile, 5) == users(*range(5))
    assert world.entities.of(meter, 5) == ()


def test_a_store_that_answers_one_question_only(world: World) -> None:
    def too_large(*_: object) -> Sequence[EntityKey]:
        raise ValueError("whatever a driver raises")

    world.offline.random, world.offline.latest = too_large, lambda until, entities: users(7)
    assert world.entities.of(profile, 5) == users(7)


def test_a_view_is_asked_for_anew_when_its_keys_change_and_when_it_was_gone(world: World) -> None:
    world.entities.of(profile, 5)
    assert world.entities.of(ViewSpec("profile", visits.join_keys, (), None), 5) == ()
    assert len(world.offline.questions) == 4
    world.entities.of(profile, 5)
    world.entities.keep([meter])
    world.entities.of(profile, 5)
    assert len(world.offline.questions) == 8


def test_keys_that_no_request_could_name(world: World) -> None:
    keys = ("user_id", "shop_id")
    odd = [("u1", None), ("u1", 1.5), (3, 4), ("u1", 2**63), ("u1", 5)]
    world.offline.random = lambda entities: [EntityKey(keys, values) for values in odd]
    assert world.entities.of(visits, 10) == [EntityKey(keys, ("u1", 5))]


def test_a_view_of_nobody_needs_no_offline_store(world: World) -> None:
    assert world.entities.of(nobody, 5) == [EntityKey((), ())]
    assert world.offline.questions == []


class Online:
    """An online store by view and key; a read takes so many seconds of `time`, and waits while `open` is not set."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.takes = 0.0
        self.rows: dict[str, dict[EntityKey, int]] = {}
        self.faults: dict[str, Exception] = {}
        self.reads: list[tuple[str, int]] = []
        self.open = threading.Event()
        self.open.set()

    def moments(self, view: ViewSpec, keys: Sequence[EntityKey]) -> list[int | None]:
        """See app.stores.asked_sample.AskedStore."""
        self.reads.append((view.name, len(keys)))
        self.open.wait(30)
        self.time.now += self.takes
        if view.name in self.faults:
            raise self.faults[view.name]
        return [self.rows.get(view.name, {}).get(key) for key in keys]


def marks(views: Sequence[ViewSpec]) -> Mapping[str, WriteMark]:
    return {view.name: WriteMark(NOON, NOON, 1) for view in views}


class Named:
    """Everybody's entities, by view."""

    def __init__(self, keys: Mapping[str, Sequence[EntityKey]]) -> None:
        self.keys = keys
        self.asked: list[str] = []

    def keep(self, views: Sequence[ViewSpec]) -> None:
        """Nothing is kept."""

    def of(self, view: ViewSpec, entities: int) -> Sequence[EntityKey]:
        """See app.stores.asked_sample.Entities."""
        self.asked.append(view.name)
        return self.keys.get(view.name, ())[:entities]


@pytest.fixture
def online() -> Iterator[Online]:
    store = Online(Time())
    yield store
    store.open.set()


def sampler(online: Online, seconds: float = 30.0, **keys: Sequence[EntityKey]) -> AskedSampler:
    return AskedSampler(online, Named(keys), marks, seconds, online.time)


def test_rows_that_are_there(online: Online) -> None:
    online.rows["profile"] = dict(zip(users(3, 120), (7, 8), strict=True))
    found = sampler(online, profile=users(*range(250)), meter=users(1)).sample([profile, meter, visits], 240)
    assert found == {"profile": ViewSample(users(3, 120), [7, 8]), "meter": ViewSample([], [])}
    assert online.reads == [("profile", 100), ("profile", 100), ("profile", 40), ("meter", 1)]


def test_the_one_row_of_a_view_of_nobody_is_all_there_is(online: Online) -> None:
    asked = sampler(online, nobody=[EntityKey((), ())])
    assert asked.sample([nobody], 10) == {"nobody": ViewSample([], [], whole=True)}
    online.rows["nobody"] = {EntityKey((), ()): 5}
    assert asked.sample([nobody], 10) == {"nobody": ViewSample([EntityKey((), ())], [5], whole=True)}


def test_marks_are_those_of_the_store(online: Online) -> None:
    assert sampler(online).marks([profile]) == {"profile": WriteMark(NOON, NOON, 1)}


def test_a_view_that_cannot_be_read_is_left_out(online: Online) -> None:
    online.faults = {"profile": StoreUnavailableError("no table"), "meter": NotFoundError("it is gone")}
    asked = sampler(online, profile=users(1), meter=users(1), visits=users(1))
    assert list(asked.sample([profile, meter, visits], 10)) == ["visits"]


def test_a_store_of_which_nothing_can_be_read_is_unavailable(online: Online) -> None:
    online.faults = {"profile": StoreUnavailableError("it is down")}
    with pytest.raises(StoreUnavailableError, match="it is down"):
        sampler(online, profile=users(1)).sample([profile, meter], 10)


def test_what_there_is_no_time_for_comes_first_the_next_time(online: Online) -> None:
    online.takes = 6.0
    named = Named({name: users(1) for name in ("profile", "meter", "visits", "nobody")})
    asked = AskedSampler(online, named, marks, 30.0, online.time)
    everything = [profile, meter, visits, nobody]
    assert list(asked.sample(everything, 10)) == named.asked == ["profile", "meter", "visits"]
    assert list(asked.sample(everything, 10)) == ["nobody", "profile", "meter"]
    assert list(asked.sample(everything, 10)) == ["visits", "profile", "meter"]


def test_a_slow_read_is_cut_and_says_nothing_of_rows_that_it_did_not_look_for(online: Online) -> None:
    online.takes = 20.0
    asked = sampler(online, profile=users(*range(200)))
    assert asked.sample([profile], 200) == {}
    online.rows["profile"] = dict.fromkeys(users(*range(200)), 7)
    assert len(asked.sample([profile], 200)["profile"].keys) == 100


def test_a_store_that_hangs_is_waited_for_once(online: Online) -> None:
    asked = sampler(online, seconds=0.05, profile=users(1))
    online.open.clear()
    with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.05 s"):
        asked.sample([profile], 10)
    with pytest.raises(StoreUnavailableError, match="still has not answered"):
        asked.sample([profile], 10)
    assert len(online.reads) == 1
    online.open.set()
    asked._running.result(10)  # type: ignore[union-attr]
    assert list(sampler(online, profile=users(1)).sample([profile], 10)) == ["profile"]
    assert asked._running.done()  # type: ignore[union-attr]
