"""The same events in any order, doubled, late, in any batches and by several pushers: one state, in every store.

Redis and SQLite end alike, and show what the offline store's point-in-time read gives for the same moment (rules 1, 3
and 6 of the design): PostgreSQL's beside Redis, Parquet's beside SQLite.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import EntityKey, PushTarget, ViewSpec, to_microseconds
from app.pushing.checked import CheckedRows
from app.pushing.due import DueRows
from app.pushing.grouped import GroupedPush
from app.pushing.schema import PushSchema
from app.pushing.writing import GroupWriter
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.offline import FeastOfflineStore
from app.stores.online import FeastOnlineStore
from app.stores.repo import open_repo
from tests.contract.reading import read_rows
from tests.repos.readings import write_readings_repo
from tests.servers import Postgres, RedisServer

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=1)
SENSORS, PUSHERS = 3, 3
_examples = itertools.count()

Shown = Mapping[int, tuple[datetime, int]]
"""Event timestamp and value of each sensor that has a row."""


class Event(NamedTuple):
    """What happened at a sensor, and when it was recorded, in steps; nobody says when: it is stamped on arrival."""

    sensor: int
    moment: int
    recorded: int | None
    value: int

    def row(self, first: int) -> dict[str, Any]:
        """As it is pushed; the sensors of an example begin at `first`."""
        made = {} if self.recorded is None else {"made": (NOON + STEP * self.recorded).isoformat()}
        moment = (NOON + STEP * self.moment).isoformat()
        return {"sensor_id": first + self.sensor, "value": self.value, "note": f"{self}", "ts": moment, **made}


class Delivery(NamedTuple):
    """A push: the pusher that makes it, and its events."""

    pusher: int
    events: Sequence[Event]


@dataclass(frozen=True)
class Stores:
    """An online store, the offline store beside it, and processes' worth of pushers to both."""

    view: ViewSpec
    schema: PushSchema
    online: FeastOnlineStore
    offline: FeastOfflineStore
    writers: Sequence[GroupWriter]

    def deliver(self, deliveries: Sequence[Delivery], first: int, together: bool = False) -> None:
        """Push them one after the other, or all pushers at once."""

        def push(mine: Sequence[Delivery]) -> None:
            for pusher, events in mine:
                rows = [event.row(first) for event in events]
                checked = CheckedRows.joined(list(self.schema.check(rows, to_microseconds(_now()))))
                push = GroupedPush(checked, PushTarget.ONLINE_AND_OFFLINE)
                self.writers[pusher].write(self.schema, [push])
                assert push.error is None

        if not together:
            push(deliveries)
            return
        with ThreadPoolExecutor(PUSHERS) as pool:
            each = [[one for one in deliveries if one.pusher == number] for number in range(PUSHERS)]
            list(pool.map(push, each))

    def shown(self, first: int) -> Shown:
        """What a read of the online store gives."""
        keys = [EntityKey(("sensor_id",), (first + sensor,)) for sensor in range(SENSORS)]
        rows = read_rows(self.online, self.view, keys, ["value"])
        return {
            sensor: (row.event_timestamp, row.values["value"]) for sensor, row in enumerate(rows) if row is not None
        }

    def held(self, first: int, moment: datetime) -> Shown:
        """What the offline store's point-in-time read gives for this moment."""
        rows = self.offline.newest(self.view, LONG_AGO, moment).to_pylist()
        return {
            row["sensor_id"] - first: (row["event_timestamp"], row["value"])
            for row in rows
            if first <= row["sensor_id"] < first + SENSORS
        }


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def opened(folder: Path) -> Iterator[Stores]:
    """The stores of a repo of readings."""
    configured = Settings(feature_repo=folder, online_timeout=5.0)
    repo = open_repo(configured)
    apply_definitions(repo, configured)
    snapshot = RegistryReader(repo).read()
    online, offline = FeastOnlineStore(repo, 5.0), FeastOfflineStore(repo, 20.0)
    online.use(snapshot.feast_views)
    offline.use(snapshot.feast_views)
    view = snapshot.catalog.views["readings"]
    schema = PushSchema("events", [view], timedelta(minutes=5))
    writers = [GroupWriter(online, offline, DueRows(online, _now), _now) for _ in range(PUSHERS)]
    yield Stores(view, schema, online, offline, writers)
    online.close()
    offline.close()
    repo.close()


@pytest.fixture(scope="module")
def every_store(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[list[Stores]]:
    """Redis and PostgreSQL, SQLite and Parquet; each example has sensors of its own."""
    folder: Path = tmp_path_factory.mktemp("order")
    with RedisServer() as redis, postgres.database() as database:
        write_readings_repo("production", folder / "production", database, redis)
        write_readings_repo("embedded", folder / "embedded")
        with opened(folder / "production") as production, opened(folder / "embedded") as embedded:
            yield [production, embedded]


steps = st.integers(0, 3)


@st.composite
def recorded_events(draw: st.DrawFn) -> list[Event]:
    """Events that say when they were recorded: no two of a sensor are recorded at the same times."""
    times = draw(st.lists(st.tuples(st.integers(0, SENSORS - 1), steps, steps), min_size=1, max_size=8, unique=True))
    return [Event(*found, draw(st.integers(-5, 5))) for found in times]


@st.composite
def deliveries_of(draw: st.DrawFn, events: Sequence[Event]) -> list[Delivery]:
    """Each event at least once, some more often, in any order and any batches, by any pusher."""
    arriving = draw(st.permutations([*events, *draw(st.lists(st.sampled_from(events), max_size=6))]))
    cuts = sorted(draw(st.sets(st.integers(1, len(arriving)), max_size=5)) | {0, len(arriving)})
    return [
        Delivery(draw(st.integers(0, PUSHERS - 1)), arriving[start:stop]) for start, stop in itertools.pairwise(cuts)
    ]


def held_by_rule(events: Sequence[Event], until: int) -> Shown:
    """Rule 1, in one line: of the events up to then the newest, and of those the one that was recorded last."""
    in_order = sorted(events, key=lambda event: (event.moment, event.recorded))
    return {event.sensor: (NOON + STEP * event.moment, event.value) for event in in_order if event.moment <= until}


@pytest.mark.parametrize("number", [pytest.param(30, id="few"), pytest.param(200, id="many", marks=pytest.mark.full)])
def test_any_delivery_of_the_same_events_ends_in_the_same_state(every_store: list[Stores], number: int) -> None:
    @settings(max_examples=number, deadline=None)
    @given(data=st.data(), events=recorded_events(), together=st.booleans(), until=steps)
    def check(data: st.DataObject, events: list[Event], together: bool, until: int) -> None:
        first = next(_examples) * SENSORS
        for stores in every_store:
            # Not the same delivery to both: the state is that of the events alone.
            stores.deliver(data.draw(deliveries_of(events)), first, together)
            assert stores.shown(first) == held_by_rule(events, 3) == stores.held(first, NOON + STEP * 3)
            assert stores.held(first, NOON + STEP * until) == held_by_rule(events, until)
            stores.offline.compact([stores.view])

    check()


@pytest.mark.parametrize("number", [pytest.param(30, id="few"), pytest.param(200, id="many", marks=pytest.mark.full)])
def test_events_that_are_stamped_on_arrival_end_online_as_offline(every_store: list[Stores], number: int) -> None:
    """Of equal event timestamps the one that came last holds, so here the order does count, and is the same for all."""
    unstamped = st.builds(Event, st.integers(0, SENSORS - 1), steps, st.none(), st.integers(-5, 5))

    @settings(max_examples=number, deadline=None)
    @given(data=st.data(), events=st.lists(unstamped, min_size=1, max_size=8))
    def check(data: st.DataObject, events: list[Event]) -> None:
        first = next(_examples) * SENSORS
        deliveries = data.draw(deliveries_of(events))
        arrived = [event for delivery in deliveries for event in delivery.events]
        stamped = [event._replace(recorded=place) for place, event in enumerate(arrived)]
        for stores in every_store:
            stores.deliver(deliveries, first)
            assert stores.shown(first) == held_by_rule(stamped, 3) == stores.held(first, NOON + STEP * 3)
            stores.offline.compact([stores.view])

    check()
