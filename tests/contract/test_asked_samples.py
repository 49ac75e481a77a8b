"""Online stores of Feast's own, asked for entities that the offline store knows, whoever wrote their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from feast.infra.online_stores.postgres_online_store import postgres as feast_store
from feast.infra.utils.postgres.postgres_config import ConnectionType

from app.deployment import asked_sampler
from app.domain import EPOCH, EntityKey, to_microseconds
from app.errors import StoreUnavailableError
from app.freshness.finding import observe
from app.freshness.ports import ViewSample
from app.freshness.view import FreshnessStatus, judge
from app.settings import Settings
from app.stores.asked_sample import AskedSampler
from app.stores.asked_store import AskedStore
from app.stores.catalog import RegistryReader
from app.stores.online import FeastOnlineStore
from tests.contract.conftest import OnlineCase, opened, row, trip
from tests.contract.writing import WriteRow
from tests.servers import Postgres

MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)
NOW = datetime.now(UTC)


@pytest.fixture(scope="module", autouse=True)
def connections() -> Iterator[None]:
    """Feast's own store leaves its connections to the end of the process."""
    connect = feast_store._get_conn
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened_ones:
        patch.setattr(feast_store, "_get_conn", lambda config: opened_ones.enter_context(closing(connect(config))))
        yield


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[OnlineCase]:
    """A store of Feast's own."""
    with postgres.database() as database, opened(tmp_path_factory.mktemp("repo"), database.feast_store) as case:
        yield case


@pytest.fixture
def case(foreign: OnlineCase, monkeypatch: pytest.MonkeyPatch) -> OnlineCase:
    """The store without any row, and no row offline."""
    tables = [foreign.repo.store.get_feature_view(name) for name in ("trips", "weather")]
    online_store, config = foreign.repo.store.provider.online_store, foreign.repo.store.config
    online_store.update(config, tables, [], [], [], False)
    online_store.update(config, [], tables, [], [], False)
    (foreign.folder / "data/trips/rows.parquet").unlink(missing_ok=True)
    # Stock Feast looks for a file registry where the process runs.
    monkeypatch.chdir(foreign.folder)
    return foreign


@pytest.fixture
def sampler(case: OnlineCase) -> AskedSampler:
    return sampler_of(case)


def sampler_of(case: OnlineCase, store: FeastOnlineStore | None = None) -> AskedSampler:
    """One that has asked nothing yet, with the registry as it is now."""
    views = RegistryReader(case.repo).read().feast_views
    return asked_sampler(Settings(), case.repo, store or case.store, lambda: views)


def frame(rows: Sequence[WriteRow]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {**dict(zip(row.key.join_keys, row.key.values, strict=True)), "fare": 1.0, "name": "stock"}
            | {"ts": row.event_timestamp, "made": row.event_timestamp}
            for row in rows
        ]
    )


def offline(case: OnlineCase, *rows: WriteRow) -> None:
    """Let the batch source of `trips` have these rows."""
    folder = case.folder / "data/trips"
    folder.mkdir(exist_ok=True)
    frame(rows).to_parquet(folder / "rows.parquet", coerce_timestamps="us")


def online(case: OnlineCase, *rows: WriteRow) -> None:
    """Stock Feast writes them."""
    case.stock().write_to_online_store("trips", frame(rows))


def moments(found: ViewSample) -> dict[EntityKey, datetime]:
    return {key: EPOCH + TICK * moment for key, moment in zip(found.keys, found.moments, strict=True)}


def status(case: OnlineCase, sampler: AskedSampler) -> FreshnessStatus:
    """Of `trips`, with an SLA of an hour, after one look by somebody who has not written."""
    view = case.views["trips"]
    seen = observe(sampler.sample([view], 100).get("trips"), None, None, 60 * MINUTE, None, NOW, 5 * MINUTE)
    return judge(replace(view, tags={"freshness_sla": "1h"}), seen, NOW, NOW).status


def test_rows_of_stock_feast_have_the_moments_that_it_wrote(case: OnlineCase, sampler: AskedSampler) -> None:
    rows = [row(trip(), NOW - MINUTE * number, 1.0) for number in range(250)]
    newer, absent = row(rows[0].key, NOW, 1.0), row(trip(), NOW, 1.0)
    offline(case, *rows, newer, absent)
    online(case, *rows)
    found = sampler.sample([case.views["trips"]], 1000)["trips"]
    assert (moments(found), found.whole) == ({row.key: row.event_timestamp for row in rows}, False)
    few = sampler.sample([case.views["trips"]], 30)["trips"]
    assert 10 < len(few.keys) <= 30


def test_stale_and_fresh_whoever_wrote_it(case: OnlineCase, sampler: AskedSampler) -> None:
    assert status(case, sampler) is FreshnessStatus.UNKNOWN  # nobody knows any entity
    key = trip()
    offline(case, row(key, NOW - MINUTE, 1.0), row(trip(), NOW - MINUTE, 1.0))
    sampler = sampler_of(case)
    assert status(case, sampler) is FreshnessStatus.NEVER
    online(case, row(key, NOW - 90 * MINUTE, 1.0))
    assert status(case, sampler) is FreshnessStatus.STALE
    online(case, row(key, NOW - MINUTE, 1.0))
    assert status(case, sampler) is FreshnessStatus.FRESH


def test_what_another_process_pushed_is_seen(case: OnlineCase, sampler: AskedSampler) -> None:
    """Its marks are in its own memory, its rows in both stores."""
    rows = [row(trip(), NOW - MINUTE * number, 1.0) for number in range(3)]
    offline(case, *rows)
    case.write(*rows)
    other = FeastOnlineStore(case.repo, 2.0)
    other.use(RegistryReader(case.repo).read().feast_views)
    asked = sampler_of(case, other)
    assert asked.marks([case.views["trips"]]) == {}
    assert moments(asked.sample([case.views["trips"]], 10)["trips"]) == {row.key: row.event_timestamp for row in rows}
    assert sampler.marks([case.views["trips"]])["trips"].newest == NOW


def test_the_newest_of_the_last_materialization_among_many_that_are_not_online(case: OnlineCase) -> None:
    end = NOW - 30 * MINUTE
    old = [row(trip(), NOW - timedelta(days=30) - MINUTE * number, 1.0) for number in range(2_000)]
    last = row(trip(), end - TICK, 1.0)
    offline(case, *old, last, *(row(trip(), NOW - TICK * number, 1.0) for number in range(2_000)))
    online(case, last)
    registry, table = case.repo.store.registry, case.repo.store.get_feature_view("trips")
    registry.apply_materialization(table, "lab", end - timedelta(days=1), end)
    found = sampler_of(case).sample([case.views["trips"]], 10)["trips"]
    assert moments(found) == {last.key: last.event_timestamp}


def test_a_view_of_nobody(case: OnlineCase, sampler: AskedSampler) -> None:
    assert sampler.sample([case.views["weather"]], 10) == {"weather": ViewSample([], [], whole=True)}
    case.write(WriteRow(EntityKey((), ()), {"rain": True}, NOW, None), view="weather")
    found = sampler.sample([case.views["weather"]], 10)["weather"]
    assert (moments(found), found.whole) == ({EntityKey((), ()): NOW}, True)


def test_a_table_that_was_never_made(case: OnlineCase, sampler: AskedSampler) -> None:
    offline(case, row(trip(), NOW, 1.0))
    online_store, table = case.repo.store.provider.online_store, case.repo.store.get_feature_view("trips")
    online_store.update(case.repo.store.config, [table], [], [], [], False)
    views = [case.views["trips"], case.views["weather"]]
    assert list(sampler.sample(views, 10)) == ["weather"]
    with pytest.raises(StoreUnavailableError, match=r"failed \(UndefinedTable\)"):
        sampler.sample(views[:1], 10)
    online_store.update(case.repo.store.config, [], [table], [], [], False)
    assert list(sampler.sample(views, 10)) == ["trips", "weather"]


def test_reads_that_fail_take_no_connection_away(case: OnlineCase) -> None:
    """Feast's store loses one of its pool with each."""
    config = case.repo.store.config.model_copy(deep=True)
    config.online_store.conn_type, config.online_store.max_conn = ConnectionType.pool, 1
    views = RegistryReader(case.repo).read().feast_views
    missing = copy(views["trips"])
    missing.name = "nowhere"
    store = AskedStore(config, lambda: {**views, "nowhere": missing})
    for _ in range(3):
        with pytest.raises(StoreUnavailableError, match=r"failed \(UndefinedTable\)"):
            store.moments(replace(case.views["trips"], name="nowhere"), [trip()])
    key = trip()
    case.write(row(key, NOW, 1.0))
    assert store.moments(case.views["trips"], [key, trip()]) == [to_microseconds(NOW), None]
    store._forget()
