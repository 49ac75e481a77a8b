"""What every online store shows of itself: samples of its rows, whoever wrote them, and the marks of writes."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from app.domain import EPOCH, EntityKey, PushOutcome
from app.freshness.ports import ViewSample, WriteMark
from tests.contract.conftest import REDIS, OnlineCase, opened, row, trip
from tests.contract.writing import WriteRow
from tests.servers import Postgres

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


@pytest.fixture
def case(ours: OnlineCase, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> OnlineCase:
    """Every store of ours, empty."""
    kind = request.node.callspec.params["ours"]
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(ours.folder / "data/online.db")) as connection, connection:
            for view in ours.views:
                connection.execute(f"DELETE FROM lab_{view}")
    else:
        request.getfixturevalue(REDIS[kind]).flush()
    # Stock Feast looks for a file registry where the process runs.
    monkeypatch.chdir(ours.folder)
    return ours


@pytest.fixture
def foreign(tmp_path: Path, postgres: Postgres) -> Iterator[OnlineCase]:
    """A store of Feast's own."""
    with postgres.database() as database, opened(tmp_path, database.feast_store) as case:
        yield case


def sample(case: OnlineCase, view: str = "trips", entities: int = 10_000) -> ViewSample:
    return case.store.sample([case.views[view]], entities)[view]


def moments(found: ViewSample) -> dict[EntityKey, datetime]:
    assert len(found.keys) == len(found.moments) == len(set(found.keys))
    return {key: EPOCH + TICK * moment for key, moment in zip(found.keys, found.moments, strict=True)}


def mark(case: OnlineCase, view: str = "trips") -> WriteMark | None:
    return case.store.marks([case.views[view]]).get(view)


def newest(case: OnlineCase) -> datetime:
    found = mark(case)
    assert found is not None
    return found.newest


def driver(number: int, event: datetime) -> WriteRow:
    return WriteRow(EntityKey(("driver_id",), (number,)), {"i64": number}, event, None)


def by_stock_feast(case: OnlineCase, *rows: WriteRow) -> None:
    frame = pd.DataFrame(
        [
            {**dict(zip(row.key.join_keys, row.key.values, strict=True)), "fare": 1.0, "name": "stock"}
            | {"ts": row.event_timestamp, "made": row.event_timestamp}
            for row in rows
        ]
    )
    case.stock().write_to_online_store("trips", frame)


def test_a_sample_has_the_moments_that_were_written(case: OnlineCase) -> None:
    rows = [row(trip(), NOON - TICK * 1_000_003 * number, 1.0) for number in range(300)]
    case.write(*rows)
    found = sample(case)
    assert found.whole
    assert moments(found) == {row.key: row.event_timestamp for row in rows}


def test_a_sample_has_what_stock_feast_wrote_over_our_rows_and_beside_them(case: OnlineCase) -> None:
    ours, over, beside = (row(trip(), NOON - SECOND * number, 1.0) for number in range(3))
    case.write(ours, row(over.key, NOON - SECOND * 5, 1.0))
    by_stock_feast(case, over, beside)
    assert moments(sample(case)) == {row.key: row.event_timestamp for row in (ours, over, beside)}
    # Nobody of ours wrote what it wrote.
    assert newest(case) == NOON


def test_no_more_entities_than_asked_for(case: OnlineCase) -> None:
    rows = {row.key: row.event_timestamp for row in (row(trip(), NOON - TICK * number, 1.0) for number in range(120))}
    case.write(*(row(key, event, 1.0) for key, event in rows.items()))
    few = sample(case, entities=7)
    assert (len(few.keys), few.whole) == (7, False)
    assert moments(few).items() <= rows.items()
    assert moments(sample(case, entities=120)) == rows
    assert sample(case, entities=121).whole


def test_samples_are_not_always_of_the_same_entities(case: OnlineCase) -> None:
    case.write(*(row(trip(), NOON, 1.0) for _ in range(200)))
    seen = {key for _ in range(10) for key in sample(case, entities=20).keys}
    assert len(seen) > 60


def test_views_that_share_their_keys_are_told_apart(case: OnlineCase) -> None:
    case.write(*(driver(number, NOON - SECOND * number) for number in range(30)), view="drivers")
    case.write(
        *(WriteRow(EntityKey(("driver_id",), (number,)), {"x": 1}, NOON, None) for number in (3, 77)),
        view="disabled_view",
    )
    case.write(row(trip(), NOON, 1.0))
    names = ["drivers", "disabled_view", "trips", "weather"]
    found = case.store.sample([case.views[name] for name in names], 10)
    assert {name: len(view.keys) for name, view in found.items()} == dict(zip(names, [10, 2, 1, 0], strict=True))
    assert {name for name, view in found.items() if view.whole} == {"disabled_view", "trips", "weather"}
    assert moments(found["disabled_view"]) == {EntityKey(("driver_id",), (number,)): NOON for number in (3, 77)}


def test_a_view_without_entities_has_one_row(case: OnlineCase) -> None:
    assert sample(case, "weather") == ViewSample([], [], whole=True)
    case.write(WriteRow(EntityKey((), ()), {"rain": True}, NOON, None), view="weather")
    found = sample(case, "weather")
    assert (moments(found), found.whole) == ({EntityKey((), ()): NOON}, True)


def test_a_view_that_was_never_written_is_empty_and_has_no_mark(case: OnlineCase) -> None:
    assert sample(case) == ViewSample([], [], whole=True)
    assert mark(case) is None
    assert case.store.marks([]) == {}
    assert case.store.sample([], 10) == {}


def test_a_sampled_key_reads_its_row(case: OnlineCase) -> None:
    case.write(row(trip(driver=-5), NOON, 4.0))
    (found,) = case.read(*sample(case).keys)
    assert found is not None
    assert found.values["fare"] == 4.0


def test_a_mark_tells_the_newest_event_and_the_last_write(case: OnlineCase) -> None:
    begin = datetime.now(UTC)
    case.write(*(row(trip(), NOON - SECOND * number, 1.0) for number in range(250)))
    found = mark(case)
    assert found is not None
    assert (found.newest, found.rows) == (NOON, 250)
    assert begin - TICK <= found.last_write <= datetime.now(UTC)
    key = trip()
    case.write(row(key, NOON - SECOND * 9, 1.0), row(key, NOON - SECOND * 9, 1.0), row(key, NOON - SECOND * 10, 1.0))
    later = mark(case)
    assert later is not None
    assert (later.newest, later.rows) == (NOON, 1)
    assert later.last_write > found.last_write


def test_a_write_that_applies_nothing_leaves_no_trace(case: OnlineCase) -> None:
    key = trip()
    case.write(row(key, NOON, 1.0))
    before = mark(case)
    assert case.write(row(key, NOON - SECOND, 1.0), row(key, NOON, 1.0)) == [PushOutcome.LATE, PushOutcome.DUPLICATE]
    assert case.write() == []
    case.repo.store.provider.online_store.online_write_batch(
        case.repo.store.config, case.repo.store.get_feature_view("trips"), [], None
    )
    assert mark(case) == before
    assert mark(case, "drivers") is None


def test_an_event_of_the_future_counts_as_now(case: OnlineCase) -> None:
    case.write(row(trip(), datetime(2999, 1, 1, tzinfo=UTC), 1.0))
    found = mark(case)
    assert found is not None
    assert found.newest == found.last_write <= datetime.now(UTC)


def test_a_mark_of_events_before_1970(case: OnlineCase) -> None:
    long_ago = datetime(1931, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
    case.write(row(trip(), long_ago, 1.0))
    assert newest(case) == long_ago
    case.write(row(trip(), long_ago - SECOND, 1.0))
    assert newest(case) == long_ago
    case.write(row(trip(), long_ago + TICK, 1.0))
    assert newest(case) == long_ago + TICK


def test_feasts_own_write_through_our_class_keeps_a_mark(case: OnlineCase) -> None:
    frame = pd.DataFrame({"driver_id": [1], "customer_id": ["c"], "fare": [1.0], "name": ["n"], "ts": [NOON]})
    case.repo.store.write_to_online_store("trips", frame.assign(made=NOON))
    assert newest(case) == NOON


def test_marks_never_move_back_however_many_write(case: OnlineCase) -> None:
    seen: list[datetime] = []
    done = threading.Event()

    def write(writer: int) -> None:
        for step in range(20):
            case.write(row(trip(), NOON + SECOND * ((step * 7 + writer * 3) % 20), 1.0))

    def watch() -> None:
        while not done.is_set():
            found = mark(case)
            seen.extend([found.newest] if found else [])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    watcher = threading.Thread(target=watch)
    for thread in (*writers, watcher):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert seen == sorted(seen)
    assert newest(case) == NOON + SECOND * 19


def test_marks_are_gone_with_the_rows(case: OnlineCase) -> None:
    """The fixture has emptied the store behind our back already."""
    assert (mark(case), mark(case, "drivers")) == (None, None)
    case.write(row(trip(), NOON, 1.0))
    case.write(driver(1, NOON), view="drivers")
    store, config = case.repo.store.provider.online_store, case.repo.store.config
    table = case.repo.store.get_feature_view("trips")
    store.update(config, [table], [], [], [], False)
    assert (mark(case), mark(case, "drivers") is None) == (None, False)
    assert sample(case, "drivers").whole
    store.update(config, [], [table], [], [], False)
    assert mark(case) is None


def test_a_store_that_is_not_ours_is_not_looked_into(foreign: OnlineCase) -> None:
    assert foreign.store.sample([foreign.views["trips"]], 10) == {}
    assert mark(foreign) is None
    key = trip()
    foreign.write(row(key, NOON, 1.0), row(trip(), NOON - SECOND, 1.0))
    found = mark(foreign)
    assert found is not None
    assert (found.newest, found.rows) == (NOON, 2)
    assert foreign.write(row(key, NOON - SECOND, 1.0)) == [PushOutcome.LATE]
    assert mark(foreign) == found
