"""What the skew probe asks of the stores: entities of the offline store, times of rows, and what was materialized."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain import EntityKey, SourceSpec, ViewSpec, to_microseconds
from app.skew.offline import OfflineSide
from app.stores.catalog import RegistryReader
from app.stores.materialized import StoredMaterialized
from app.stores.metadata import MetadataStore
from app.stores.offline_sample import StoredOfflineSampler
from tests.contract.history import HOUR, KINDS, MICROSECOND, NOON, HistoryCase, opened_history
from tests.oracle import Fact
from tests.servers import Postgres

KEYS = ("driver_id", "customer_id")
DAY = timedelta(days=1)


@pytest.fixture(scope="module", params=KINDS)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[HistoryCase]:
    folder = tmp_path_factory.mktemp("repo")
    if request.param == "parquet":
        with opened_history(request.param, folder, None) as opened:
            yield opened
    else:
        with postgres.database() as database, opened_history(request.param, folder, database) as opened:
            yield opened


@pytest.fixture(scope="module")
def sampler(case: HistoryCase) -> StoredOfflineSampler:
    views = RegistryReader(case.repo).read().feast_views
    return StoredOfflineSampler(case.repo.store.config, lambda: views, case.history, 10.0)


def fact(driver: int | None, event: datetime, created: datetime | None = None, customer: str | None = "c") -> Fact:
    return Fact((driver, customer), event, created, (1.0, "note", 2))


def key(driver: int) -> EntityKey:
    return EntityKey(KEYS, (driver, "c"))


def test_entities_with_a_row_in_the_window(case: HistoryCase, sampler: StoredOfflineSampler) -> None:
    old, first, last = NOON - 2 * HOUR, NOON - HOUR, NOON
    rows = [fact(1, old), fact(2, first), fact(2, last), fact(3, last), fact(4, last + MICROSECOND)]
    case.write("trips", [*rows, fact(None, last), fact(5, last, customer=None)])
    view = case.catalog.views["trips"]
    assert set(sampler.sample(view, first, last, 100)) == {key(2), key(3)}
    assert set(sampler.sample(view, None, last, 100)) == {key(1), key(2), key(3)}
    assert sampler.sample(view, None, last, 0) == []
    assert len(sampler.sample(view, None, last, 2)) <= 2


def test_entities_of_the_newest_rows(case: HistoryCase, sampler: StoredOfflineSampler) -> None:
    case.write("trips", [fact(driver, NOON - driver * HOUR) for driver in (3, 1, 5, 2, 4)])
    view = case.catalog.views["trips"]
    assert set(sampler.newest(view, NOON, 2)) == {key(1), key(2)}
    assert set(sampler.newest(view, NOON - 3 * HOUR, 2)) == {key(3), key(4)}
    assert sampler.newest(view, NOON, 0) == []
    assert sampler.newest(case.catalog.views["weather"], NOON, 10) == []


def test_views_of_nobody_have_no_entities(case: HistoryCase, sampler: StoredOfflineSampler) -> None:
    assert sampler.sample(case.catalog.views["weather"], None, NOON, 10) == []


def test_the_times_of_the_newest_row(case: HistoryCase) -> None:
    case.write(
        "trips",
        [
            fact(1, NOON - HOUR, NOON),
            fact(1, NOON - 2 * HOUR, NOON + HOUR),
            fact(2, NOON, NOON),
            fact(2, NOON, NOON + MICROSECOND),
            fact(2, NOON, None),
            fact(3, NOON + MICROSECOND, NOON),
            fact(4, NOON - 100 * DAY, None),
        ],
    )
    side = OfflineSide(case.history, 10.0)
    entities = [{"driver_id": driver, "customer_id": "c"} for driver in (4, 3, 2, 1, 9)]
    found = side.times(case.catalog.views["trips"], entities, NOON)
    expected: list[tuple[Any, Any]] = [
        (to_microseconds(NOON - 100 * DAY), None),
        (None, None),
        (to_microseconds(NOON), to_microseconds(NOON + MICROSECOND)),
        (to_microseconds(NOON - HOUR), to_microseconds(NOON)),
        (None, None),
    ]
    assert found == expected


def test_the_times_of_a_view_of_nobody(case: HistoryCase) -> None:
    case.write("weather", [Fact((), NOON - HOUR, NOON, (1.0,)), Fact((), NOON + HOUR, NOON, (2.0,))])
    found = OfflineSide(case.history, 10.0).times(case.catalog.views["weather"], [{}], NOON)
    assert found == [(to_microseconds(NOON - HOUR), to_microseconds(NOON))]


VIEW = ViewSpec("trips", (), (), None, source=SourceSpec("s", "FileSource", "ts", "made"))


def ran(
    store: MetadataStore,
    kind: str,
    window: tuple[datetime, datetime],
    start: datetime,
    end: datetime | None,
    error: str | None = None,
) -> None:
    """A run that took this long; without an end it still runs."""
    run = store.begin_run("lab", kind, "trips", window, start)
    if end is not None:
        store.end_run(run, 1, end, error)


def covered(
    store: MetadataStore, event: datetime, created: datetime | None, *intervals: tuple[datetime, datetime]
) -> bool:
    views: Any = {"trips": SimpleNamespace(materialization_intervals=list(intervals))}
    (found,) = StoredMaterialized(store, "lab", lambda: views, 2 * DAY).covers(VIEW, [(event, created)])
    return found


def test_a_materialization_covers_what_was_there_when_it_began(metadata: MetadataStore) -> None:
    event, began = NOON - DAY, NOON
    assert not covered(metadata, event, event + HOUR)
    ran(metadata, "materialize", (NOON - 2 * DAY, NOON), began, None)
    ran(metadata, "materialize", (NOON - 2 * DAY, NOON), began, began + HOUR, "Redis was gone")
    assert not covered(metadata, event, event + HOUR)
    ran(metadata, "materialize", (NOON - 2 * DAY, NOON), began, began + HOUR)
    assert covered(metadata, event, event + HOUR)
    assert covered(metadata, event, began)
    assert not covered(metadata, event, began + MICROSECOND)
    assert not covered(metadata, NOON - 2 * DAY - MICROSECOND, NOON - DAY)
    assert not covered(metadata, NOON + MICROSECOND, None)


def test_without_a_created_timestamp_a_row_may_be_as_late_as_the_overlap(metadata: MetadataStore) -> None:
    ran(metadata, "materialize", (NOON - 9 * DAY, NOON), NOON, NOON)
    assert covered(metadata, NOON - 2 * DAY, None)
    assert not covered(metadata, NOON - 2 * DAY + MICROSECOND, None)
    # One that repeats the event's says nothing of when the row came.
    assert not covered(metadata, NOON - DAY, NOON - DAY)


def test_a_computation_tells_when_its_rows_came(metadata: MetadataStore) -> None:
    event = NOON - HOUR
    ran(metadata, "materialize", (NOON - DAY, NOON), NOON, NOON)
    ran(metadata, "compute", (event, event), NOON - HOUR, NOON - MICROSECOND)
    assert covered(metadata, event, event)
    ran(metadata, "compute", (event, event), NOON - HOUR, NOON + HOUR)
    assert not covered(metadata, event, event)
    ran(metadata, "materialize", (NOON - DAY, NOON), NOON + 2 * HOUR, NOON + 2 * HOUR)
    assert covered(metadata, event, event)
    ran(metadata, "compute", (event, event), NOON + 3 * HOUR, None)
    assert not covered(metadata, event, event)


def test_what_feast_has_materialized_counts(metadata: MetadataStore) -> None:
    event = NOON - 3 * DAY
    naive = (NOON - 9 * DAY).replace(tzinfo=None), NOON.replace(tzinfo=None)
    assert covered(metadata, event, event + HOUR, naive)
    assert covered(metadata, event, NOON, (event, NOON))
    assert not covered(metadata, event, NOON + MICROSECOND, (event, NOON))
    assert not covered(metadata, event, event + HOUR, (event + MICROSECOND, NOON))
