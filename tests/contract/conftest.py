"""One online store after the other, behind the same interface."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore

from app.domain import EntityKey, OnlineRow, PushOutcome, ViewSpec, WriteRow
from app.serving.ports import ViewRead
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.online import FeastOnlineStore
from app.stores.repo import FeastRepo, open_repo
from tests.repos.everything import write_repo
from tests.servers import Postgres, Redis

OURS = ["sqlite", "redis"]
EVERY = [*OURS, "postgres, which is Feast's own"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class OnlineCase:
    """An online store, opened and with its tables made, and short ways to use it."""

    folder: Path
    repo: FeastRepo
    store: FeastOnlineStore
    views: dict[str, ViewSpec]
    loop: asyncio.AbstractEventLoop

    def write(self, *rows: WriteRow, view: str = "trips") -> list[PushOutcome]:
        """Write rows of a view."""
        return self.store.write(self.views[view], rows)

    def read(self, *keys: EntityKey, view: str = "trips") -> list[OnlineRow | None]:
        """Read every feature of a view."""
        spec = self.views[view]
        names = tuple(field.name for field in spec.join_keys)
        features = tuple(field.name for field in spec.features)
        prepared = self.store.prepare([ViewRead(spec, features, names)])
        entities = dict(zip(names, zip(*(key.values for key in keys), strict=True), strict=True))
        (found,) = self.loop.run_until_complete(prepared.fetch(entities, len(keys)))
        rows = zip(*found.values, strict=True)
        return [
            None
            if moment is None
            else OnlineRow(EPOCH + timedelta(microseconds=moment), dict(zip(features, row, strict=True)))
            for moment, row in zip(found.moments, rows, strict=True)
        ]

    def stock(self) -> FeatureStore:
        """Stock Feast over the same files and servers."""
        return FeatureStore(repo_path=str(self.folder))


def trip(customer: str | None = None, driver: int = 1) -> EntityKey:
    """A composite key that no other test uses, unless a customer is given."""
    return EntityKey(("driver_id", "customer_id"), (driver, customer or f"customer-{next(_numbers)}"))


def row(key: EntityKey, event: datetime, fare: float | None, created: datetime | None = None) -> WriteRow:
    """A row of `trips`."""
    return WriteRow(key, {"fare": fare, "name": f"fare {fare}"}, event, created)


@pytest.fixture(scope="module", params=EVERY)
def online(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: Redis, postgres: Postgres
) -> Iterator[OnlineCase]:
    """Every kind of online store in turn."""
    with _opened(request.param, tmp_path_factory.mktemp("repo"), redis_server, postgres) as case:
        yield case


@pytest.fixture(scope="module", params=OURS)
def ours(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: Redis, postgres: Postgres
) -> Iterator[OnlineCase]:
    """The stores whose adapter is ours, for rules that need more than Feast's interface: a created timestamp in the
    store, microseconds, and a comparison inside the store."""
    with _opened(request.param, tmp_path_factory.mktemp("repo"), redis_server, postgres) as case:
        yield case


@contextmanager
def _opened(kind: str, folder: Path, redis_server: Redis, postgres: Postgres) -> Iterator[OnlineCase]:
    with postgres.database() as database:
        stores: dict[str, dict[str, Any]] = {
            "sqlite": {"type": "sqlite", "path": "data/online.db"},
            "redis": {"type": "redis", "connection_string": redis_server.connection_string, "key_ttl_seconds": 3600},
        }
        feast_postgres = {
            "type": "postgres",
            "host": database.host,
            "port": database.port,
            "database": database.name,
            "user": database.user,
            "password": database.password,
            "sslmode": "prefer",
        }
        settings = Settings(feature_repo=write_repo(folder, stores.get(kind, feast_postgres)), online_timeout=2)
        repo = open_repo(settings)
        apply_definitions(repo, settings)
        snapshot = RegistryReader(repo).read()
        store = FeastOnlineStore(repo, settings.online_timeout)
        store.use(snapshot.feast_views)
        with asyncio.Runner() as runner:
            yield OnlineCase(folder, repo, store, dict(snapshot.catalog.views), runner.get_loop())
            runner.run(store.close_reads())
        store.close()
        repo.close()
        feast_connection = getattr(repo.store.provider.online_store, "_conn", None)
        if feast_connection is not None:
            feast_connection.close()
    redis_server.flush()
