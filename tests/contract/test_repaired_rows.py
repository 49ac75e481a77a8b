"""What a repair leaves online is what the pushes would have left, on real stores: ties, late rows and corrections."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import EntityKey, PushOutcome, PushTarget, ViewSpec, to_microseconds
from app.errors import StoreUnavailableError
from app.materializing.replay import Replay
from app.pushing.batch import RowBatch
from app.pushing.checked import CheckedRows
from app.pushing.coverage import Coverage
from app.pushing.debts import Debts
from app.pushing.due import DueRows
from app.pushing.grouped import GroupedPush
from app.pushing.repair import Repair
from app.pushing.schema import PushSchema
from app.pushing.writing import GroupWriter
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.offline import FeastOfflineStore
from app.stores.online import FeastOnlineStore
from app.stores.repo import open_repo
from tests.contract.offline import NOON, READINGS, write_offline_repo
from tests.contract.reading import read_rows
from tests.servers import Postgres
from tests.unit.repair_markers import MarkersOf, Table

SECOND = 1_000_000
TWO_VIEWS = (
    READINGS
    + """
notes = FeatureView(
    name="notes", entities=[sensor], source=events, ttl=timedelta(0),
    schema=[Field(name="sensor_id", dtype=Int64), Field(name="note", dtype=String)],
)
"""
)

_numbers = itertools.count(0, 10)


class Unreliable:
    """The online store, for as many writes as it `lasts`; the others it refuses."""

    def __init__(self, store: FeastOnlineStore) -> None:
        self.store = store
        self.lasts = 1_000_000

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        self.ready()
        self.lasts -= 1
        return self.store.write(view, batch)

    def ready(self) -> None:
        if self.lasts <= 0:
            raise StoreUnavailableError("down")


@dataclass(frozen=True)
class Lab:
    """Pushes and repairs over real stores, at NOON."""

    online: Unreliable
    writer: GroupWriter
    repair: Repair
    replay: Replay
    schema: PushSchema

    def push(self, lasts: int, *rows: tuple[int, int, float | None]) -> None:
        """Rows of (sensor, seconds from NOON, value), with an online store that lasts for so many writes."""
        values = [value for _, _, value in rows]
        columns: dict[str, list[Any]] = {
            "sensor_id": [sensor for sensor, _, _ in rows],
            "value": values,
            "note": [f"note {value}" for value in values],
        }
        batch = RowBatch(columns, [to_microseconds(NOON) + at * SECOND for _, at, _ in rows], [None] * len(rows))
        push = GroupedPush(CheckedRows(range(len(rows)), batch, []), PushTarget.ONLINE_AND_OFFLINE)
        self.online.lasts = lasts
        self.writer.write(self.schema, [push])
        assert (push.error is None) == (lasts >= 2)
        self.online.lasts = 1_000_000

    def read(self, view: int, *sensors: int) -> list[tuple[int, Any] | None]:
        """Event timestamp (seconds from NOON) and value of each sensor."""
        spec = self.schema.views[view]
        feature = spec.features[0].name
        rows = read_rows(
            self.online.store, spec, [EntityKey(("sensor_id",), (number,)) for number in sensors], [feature]
        )
        return [
            None if row is None else ((row.event_timestamp - NOON) // timedelta(seconds=1), row.values[feature])
            for row in rows
        ]


@pytest.fixture(scope="module", params=["folder", "postgres"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("repo")
    with ExitStack() as stack:
        database = None
        if request.param == "postgres":
            postgres: Postgres = request.getfixturevalue("postgres")
            database = stack.enter_context(postgres.database())
        write_offline_repo(request.param, folder, database, TWO_VIEWS)
        repo = open_repo(Settings(feature_repo=folder))
        snapshot = RegistryReader(repo).read()
        offline, store = FeastOfflineStore(repo, 20), FeastOnlineStore(repo, 5)
        offline.use(snapshot.feast_views)
        store.use(snapshot.feast_views, snapshot.catalog.views.values())
        views = [snapshot.catalog.views[name] for name in ("readings", "notes")]
        online, debts, skew = Unreliable(store), Debts(), timedelta(minutes=5)
        due = DueRows(online, lambda: NOON)
        coverage = Coverage(MarkersOf(Table()), debts, due.lowest, lambda: NOON)
        replay = Replay(offline, online)
        repair = Repair(debts, lambda _: views, online.ready, replay, lambda: NOON, skew)
        writer = GroupWriter(online, offline, due, lambda: NOON, coverage)
        yield Lab(online, writer, repair, replay, PushSchema("events", views, skew))
        store.close()
        offline.close()
        repo.close()


pushes = st.tuples(
    st.sampled_from([0, 1, 2, 2]),  # one view is written before the store is gone, or none, or both are
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(-2, 0), st.sampled_from([None, 1.5, 2.5, 3.5])), min_size=1, max_size=4
    ),
)


@settings(max_examples=25, deadline=None)
@given(history=st.lists(pushes, min_size=1, max_size=8), repairs=st.lists(st.booleans(), min_size=8, max_size=8))
def test_the_online_store_ends_as_if_it_had_never_been_away(
    lab: Lab, history: list[tuple[int, list[tuple[int, int, float | None]]]], repairs: list[bool]
) -> None:
    first = next(_numbers)
    wanted: dict[int, tuple[int, float | None]] = {}
    for (lasts, rows), repaired in zip(history, repairs, strict=False):
        lab.push(lasts, *((first + sensor, at, value) for sensor, at, value in rows))
        if repaired:
            assert lab.repair.pay("events")
        for sensor, at, value in rows:
            # The newest event, and of those at the same time the one pushed last (rule 1).
            if sensor not in wanted or at >= wanted[sensor][0]:
                wanted[sensor] = at, value
    assert lab.repair.pay("events")
    sensors = sorted(wanted)
    numbers = [first + sensor for sensor in sensors]
    assert lab.read(0, *numbers) == [wanted[sensor] for sensor in sensors]
    assert lab.read(1, *numbers) == [(wanted[sensor][0], f"note {wanted[sensor][1]}") for sensor in sensors]
    # To do it once more changes nothing.
    day = timedelta(days=1)
    assert [lab.replay.bring_online(view, NOON - day, NOON) for view in lab.schema.views] == [0, 0]


def test_rows_ahead_of_the_clock_are_not_brought_online_before_their_time(lab: Lab) -> None:
    first = next(_numbers)
    lab.push(0, (first, -1, 1.5), (first, 60, 2.5))
    assert not lab.repair.pay("events")
    assert lab.read(0, first) == [(-1, 1.5)]
    later = NOON + timedelta(minutes=2)
    lab.repair._clock = lambda: later
    try:
        assert lab.repair.pay("events")
    finally:
        lab.repair._clock = lambda: NOON
    assert lab.read(0, first) == [(60, 2.5)]


def test_the_newest_event_of_a_window_and_of_an_empty_one(lab: Lab) -> None:
    lab.push(2, (next(_numbers), 0, 1.5))
    view, second = lab.schema.views[0], timedelta(seconds=1)
    assert lab.replay.newest_event(view, NOON - 5 * second, NOON) == NOON
    assert lab.replay.newest_event(view, NOON - timedelta(days=2), NOON - timedelta(days=1)) is None
