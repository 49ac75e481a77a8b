"""The look at one view: its entities, its two sides, the second look, and which rows must be online by now."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from app.domain import Catalog, EntityKey, FeatureRef, FieldSpec, OnDemandSpec, SourceSpec, ViewSpec, to_microseconds
from app.errors import NotServableError, StoreUnavailableError, TransformError
from app.freshness.ports import ViewSample, WriteMark
from app.skew.compare import Outcome, Side
from app.skew.entities import Entity, EntitySampler
from app.skew.findings import Kind
from app.skew.offline import OfflineSide, RowTimes
from app.skew.online import OnlineSide
from app.skew.probe import Look, SkewProbe
from app.skew.settled import Settled
from app.skew.subjects import Subject
from tests.unit import catalogs
from tests.unit.catalogs import FakeStore

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
profile = dataclasses.replace(catalogs.profile, source=SourceSpec("s", "FileSource", "ts", "made"))
pushed = dataclasses.replace(profile, push_source="events")
PROFILE = Subject("profile", (profile,), ("profile:age", "profile:name"))


def user(name: str) -> EntityKey:
    """A key of `profile`."""
    return EntityKey(("user_id",), (name,))


class FakeSampler:
    """Implements both stores' samplers; `asked` are the numbers of offline entities that were asked for."""

    def __init__(self, online: Mapping[str, Sequence[EntityKey]], offline: Mapping[str, Sequence[EntityKey]]) -> None:
        self.online, self.offline = online, offline
        self.asked: list[tuple[datetime | None, int]] = []
        self.written: Mapping[str, WriteMark] = {}


class OnlineOf(FakeSampler):
    """The online one."""

    def sample(self, views: Sequence[ViewSpec], entities: int) -> dict[str, ViewSample]:
        """See app.freshness.ports.OnlineSampler."""
        return {
            view.name: ViewSample(self.online[view.name][:entities], [0] * entities)
            for view in views
            if view.name in self.online
        }

    def marks(self, views: Sequence[ViewSpec]) -> Mapping[str, WriteMark]:
        """The same."""
        return self.written


class OfflineOf(FakeSampler):
    """The offline one."""

    def sample(self, view: ViewSpec, since: datetime | None, until: datetime, entities: int) -> Sequence[EntityKey]:
        """See app.skew.ports.OfflineSampler."""
        self.asked.append((since, entities))
        return self.offline.get(view.name, ())[:entities]


def sampled(
    views: Sequence[ViewSpec],
    online: Mapping[str, Sequence[EntityKey]],
    offline: Mapping[str, Sequence[EntityKey]],
    entities: int = 4,
) -> list[Entity]:
    """The entities of a sampler over these."""
    return EntitySampler(OnlineOf(online, {}), OfflineOf({}, offline), entities).sample(views, NOON)


def test_half_of_the_entities_come_from_the_offline_store_and_each_once() -> None:
    found = sampled([profile], {"profile": [*map(user, "abcd")]}, {"profile": [*map(user, "xayz")]})
    assert [entity["user_id"] for entity in found] == ["x", "a", "b", "c"]


def test_all_come_from_there_where_the_online_store_cannot_be_sampled() -> None:
    offline = OfflineOf({}, {"profile": [*map(user, "abcdef")]})
    assert len(EntitySampler(OnlineOf({}, {}), offline, 4).sample([profile], NOON)) == 4
    assert len(EntitySampler(None, offline, 4).sample([profile], NOON)) == 4
    assert offline.asked == [(NOON - timedelta(hours=1), 4)] * 2


class SlowOffline(OfflineOf):
    """An offline store that names nobody in time."""

    def sample(self, view: ViewSpec, since: datetime | None, until: datetime, entities: int) -> Sequence[EntityKey]:
        """See app.skew.ports.OfflineSampler."""
        raise StoreUnavailableError("it took too long")


def test_an_offline_store_that_names_none_in_time_leaves_those_of_the_online_one() -> None:
    sampler = EntitySampler(OnlineOf({"profile": [user("a")]}, {}), SlowOffline({}, {}), 4)
    with structlog.testing.capture_logs() as logs:
        assert [sampler.sample([profile], NOON) for _ in range(2)] == [[{"user_id": "a"}]] * 2
    assert [log["reason"] for log in logs] == ["it took too long"]
    for online in (None, OnlineOf({"profile": []}, {})):
        with pytest.raises(StoreUnavailableError):
            EntitySampler(online, SlowOffline({}, {}), 4).sample([profile], NOON)


def test_keys_that_no_request_can_name_are_left_out() -> None:
    keys = [user(""), user("a\0b"), user("fine"), EntityKey(("user_id",), (None,))]
    assert sampled([profile], {"profile": keys}, {}) == [{"user_id": "fine"}]


def test_views_of_other_keys_are_combined() -> None:
    pairs = [EntityKey(("user_id", "shop_id"), ("a", 1)), EntityKey(("user_id", "shop_id"), ("b", 2))]
    views = [profile, catalogs.visits]
    expected = [{"user_id": "a", "shop_id": 1}, {"user_id": "b", "shop_id": 2}]
    assert sampled(views, {"profile": [user("c")], "visits": pairs}, {}) == expected
    shop = ViewSpec("shop", (catalogs.SHOP,), (), None)
    found = sampled([profile, shop], {"profile": [*map(user, "ab")], "shop": [EntityKey(("shop_id",), (7,))]}, {})
    assert found == [{"user_id": "a", "shop_id": 7}, {"user_id": "b", "shop_id": 7}]
    assert sampled([profile, shop], {"profile": [user("a")]}, {}) == []


def test_a_view_of_nobody_has_one_entity() -> None:
    assert sampled([ViewSpec("weather", (), (), None)], {}, {}) == [{}]


class FakeOffline:
    """The side of training: what each call of `join` gives, by entity."""

    def __init__(self, *answers: Mapping[str, tuple[datetime | None, Sequence[Any]]]) -> None:
        self._answers = list(answers)
        self._now: Mapping[str, tuple[datetime | None, Sequence[Any]]] = {}
        self.instants: list[datetime] = []

    def join(self, catalog: Catalog, references: Sequence[str], entities: Sequence[Entity], at: datetime) -> list[Side]:
        """As OfflineSide's."""
        self._now = self._answers.pop(0)
        self.instants.append(at)
        return [
            Side(None, ["NOT_FOUND" if value is None else "PRESENT" for value in values], values)
            for _, values in (self._now[entity["user_id"]] for entity in entities)
        ]

    def join_apart(
        self, catalog: Catalog, references: Sequence[str], entities: Sequence[Entity], at: datetime
    ) -> list[Side | TransformError]:
        """The same, of functions that never fail."""
        return [*self.join(catalog, references, entities, at)]

    def times(self, view: ViewSpec, entities: Sequence[Entity], at: datetime) -> list[RowTimes]:
        """As OfflineSide's."""
        moments = [self._now[entity["user_id"]][0] for entity in entities]
        return [(None if moment is None else to_microseconds(moment), None) for moment in moments]


class Everything:
    """Implements app.skew.ports.Materialized: all of it, or nothing."""

    def __init__(self, there: bool = True) -> None:
        self._there = there

    def covers(self, view: ViewSpec, rows: Sequence[tuple[datetime, datetime | None]]) -> Sequence[bool]:
        """The same for all."""
        return [self._there] * len(rows)


def looked(store: FakeStore, offline: FakeOffline, subject: Subject = PROFILE, on_demand: Any = ()) -> Look:
    """A look at the users a and b."""
    catalog = catalogs.catalog(views=(profile,), on_demand=on_demand)
    sampler = EntitySampler(OnlineOf({"profile": [user("a"), user("b")]}, {}), OfflineOf({}, {}), 10)
    online = OnlineSide(store, asyncio.run)
    probe = SkewProbe(sampler, online, offline, Everything(), None, lambda: NOON, timedelta(0))  # type: ignore[arg-type]
    try:
        return probe.look(catalog, subject)
    finally:
        probe.close()


ROWS = {
    ("profile", ("a",)): (NOON - MINUTE, {"age": 5, "name": "A"}),
    ("profile", ("b",)): (NOON - MINUTE, {"age": 6, "name": "B"}),
}


def test_what_differs_once_and_not_twice_is_no_skew() -> None:
    right = {"a": (NOON - MINUTE, [5, "A"]), "b": (NOON - MINUTE, [6, "B"])}
    offline = FakeOffline({**right, "a": (NOON - MINUTE, [7, "A"])}, right)
    look = looked(FakeStore(ROWS), offline)
    assert (look.counts[Outcome.MATCHED], look.counts[Outcome.MISMATCHED], look.mismatches) == (2, 0, [])
    assert len(offline.instants) == 2


def test_what_stays_different_is_told_with_its_features_and_its_time() -> None:
    wrong = {"a": (NOON - MINUTE, [7, "A"]), "b": (NOON - MINUTE, [6, "B"])}
    look = looked(FakeStore(ROWS), FakeOffline(wrong, wrong))
    (found,) = look.mismatches
    assert (found.entity, found.features, found.kind) == ({"user_id": "a"}, ("age",), Kind.VALUE)
    assert found.event_timestamp == NOON - MINUTE
    assert (look.counts[Outcome.MATCHED], look.counts[Outcome.MISMATCHED]) == (1, 1)


def test_a_row_that_is_only_offline_is_missing_at_its_time() -> None:
    both = {"a": (NOON - MINUTE, [5, "A"]), "b": (NOON - 2 * MINUTE, [6, "B"])}
    look = looked(FakeStore({("profile", ("a",)): ROWS["profile", ("a",)]}), FakeOffline(both, both))
    (found,) = look.mismatches
    assert (found.entity["user_id"], found.kind, found.event_timestamp) == ("b", Kind.MISSING, NOON - 2 * MINUTE)


def test_functions_see_one_entity_at_a_time() -> None:
    def neighbours(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        return {"together": [len(columns["profile__age"])] * len(columns["profile__age"])}

    spec = OnDemandSpec("odd", (FieldSpec("together", "INT64"),), (FeatureRef("profile", "age"),), (), neighbours)
    subject = Subject("odd", (profile,), ("odd:together",), ("profile:age",))
    joined: dict[str, Any] = {"a": (None, [5, 2]), "b": (None, [6, 2])}
    look = looked(FakeStore(ROWS), FakeOffline(joined, joined), subject, (spec,))
    assert [(one.kind, one.features, one.event_timestamp) for one in look.mismatches] == [
        (Kind.TRANSFORMATION, ("together",), None)
    ] * 2


def picky(ages: Sequence[int]) -> tuple[Subject, OnDemandSpec]:
    """A view whose function fails on these ages, or on several at once that have one of them."""

    def computed(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        if {*columns["profile__age"]} & {*ages}:
            raise ZeroDivisionError
        return {"again": columns["profile__age"]}

    spec = OnDemandSpec("picky", (FieldSpec("again", "INT64"),), (FeatureRef("profile", "age"),), (), computed)
    return Subject("picky", (profile,), ("picky:again",), ("profile:age",)), spec


def test_an_entity_that_a_function_fails_on_hides_no_other() -> None:
    subject, spec = picky([5])
    wrong: dict[str, Any] = {"b": (None, [6, 7])}
    look = looked(FakeStore(ROWS), FakeOffline(wrong, wrong), subject, (spec,))
    assert (look.counts[Outcome.FAILING], look.counts[Outcome.MISMATCHED]) == (1, 1)
    assert [one.entity for one in look.mismatches] == [{"user_id": "b"}]


def test_a_function_that_fails_on_all_is_not_compared() -> None:
    subject, spec = picky([5, 6])
    with pytest.raises(NotServableError, match="ZeroDivisionError"):
        looked(FakeStore(ROWS), FakeOffline({}), subject, (spec,))


class JoinOf(OfflineSide):
    """A join whose function fails where one of these is among the entities."""

    def __init__(self, failing: Sequence[str], seconds: float = 60.0) -> None:
        self._failing, self._seconds = {*failing}, seconds
        self.joins = 0

    def join(self, catalog: Catalog, references: Sequence[str], entities: Sequence[Entity], at: datetime) -> list[Side]:
        """See OfflineSide."""
        self.joins += 1
        names = [entity["user_id"] for entity in entities]
        if self._failing & {*names}:
            raise TransformError("it fails")
        return [Side(None, ["PRESENT"], [name]) for name in names]

    def failed(self, names: str) -> str:
        """Those of them that cannot be computed; the others must have come in their order."""
        sides = self.join_apart(catalogs.catalog(), [], [{"user_id": name} for name in names], NOON)
        pairs = [*zip(names, sides, strict=True)]
        assert all(isinstance(side, TransformError) or side.values == [name] for name, side in pairs)
        return "".join(name for name, side in pairs if isinstance(side, TransformError))


LETTERS = "abcdefghijklmnopqrstuvwxyz" * 4


def test_who_a_function_fails_on_is_found_in_the_join() -> None:
    assert [JoinOf("").failed("abc"), JoinOf("b").failed("abc"), JoinOf("ac").failed("abcde")] == ["", "b", "ac"]
    assert JoinOf("").failed("") == ""
    assert JoinOf("0").failed(f"0{LETTERS}") == "0"


def test_that_search_is_bounded() -> None:
    always = JoinOf(LETTERS)
    assert always.failed(LETTERS) == LETTERS
    assert always.joins < 60
    hasty = JoinOf("b", seconds=0.0)
    assert (hasty.failed("abc"), hasty.joins) == ("abc", 1)


def test_without_entities_nothing_is_read() -> None:
    sampler = EntitySampler(None, OfflineOf({}, {}), 10)
    probe = SkewProbe(sampler, None, None, Everything(), None, lambda: NOON)  # type: ignore[arg-type]
    assert probe.look(catalogs.catalog(views=(profile,)), PROFILE).mismatches == []


def test_which_rows_must_be_online_by_now() -> None:
    online = OnlineOf({}, {})
    online.written = {"profile": WriteMark(NOON, NOON, 1)}
    before, after = (to_microseconds(NOON - MINUTE),) * 2, (to_microseconds(NOON - MINUTE), to_microseconds(NOON) + 1)
    assert Settled(profile, Everything(), None).is_so(before, False)
    assert not Settled(profile, Everything(), None).is_so((None, None), False)
    nothing = Everything(there=False)
    # Of a view that is not pushed to, materializations alone decide.
    assert not Settled(profile, nothing, online).is_so(before, True)
    assert Settled(pushed, nothing, online).is_so(before, True)
    assert not Settled(pushed, nothing, online).is_so(before, False)
    assert not Settled(pushed, nothing, online).is_so(after, True)
    assert not Settled(pushed, nothing, None).is_so(before, True)
    assert Settled(pushed, nothing, online).is_so((before[0], None), True)
