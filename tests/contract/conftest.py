"""One online store after the other, behind the same interface."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from feast import FeatureStore

from app.domain import EntityKey, OnlineRow, PushOutcome, ViewSpec
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.metadata import MetadataStore
from app.stores.online import FeastOnlineStore
from app.stores.repo import FeastRepo, open_repo
from tests.contract.reading import read_rows
from tests.contract.writing import WriteRow, batch_of
from tests.repos.everything import write_repo
from tests.servers import Postgres, Redis, RedisCluster, RedisSentinel, RedisServer

REDIS = {
    "redis": "redis_server",
    "redis cluster": "redis_cluster",
    "redis sentinel": "redis_sentinel",
    "redis with TLS and a password": "redis_with_tls",
}
"""The kinds of Redis, and the fixture of each."""
OURS = [
    "sqlite",
    "redis",
    "redis cluster",
    "redis sentinel",
    # `make test` must do with the Redis inside the wheel, which has no TLS.
    pytest.param("redis with TLS and a password", marks=pytest.mark.full),
]
EVERY = [*OURS, "postgres, which is Feast's own"]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class OnlineCase:
    """An online store, opened and with its tables made, and short ways to use it."""

    folder: Path
    repo: FeastRepo
    store: FeastOnlineStore
    views: dict[str, ViewSpec]

    def write(self, *rows: WriteRow, view: str = "trips") -> list[PushOutcome]:
        """Write rows of a view."""
        return self.store.write(self.views[view], batch_of(self.views[view], rows))

    def read(self, *keys: EntityKey, view: str = "trips") -> list[OnlineRow | None]:
        """Read every feature of a view."""
        spec = self.views[view]
        return read_rows(self.store, spec, keys, [field.name for field in spec.features])

    def stock(self) -> FeatureStore:
        """Stock Feast over the same files and servers."""
        return FeatureStore(repo_path=str(self.folder))


def trip(customer: str | None = None, driver: int = 1) -> EntityKey:
    """A composite key that no other test uses, unless a customer is given."""
    return EntityKey(("driver_id", "customer_id"), (driver, customer or f"customer-{next(_numbers)}"))


def row(key: EntityKey, event: datetime, fare: float | None, created: datetime | None = None) -> WriteRow:
    """A row of `trips`."""
    return WriteRow(key, {"fare": fare, "name": f"fare {fare}"}, event, created)


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three masters."""
    with RedisCluster(password="cluster=s3cret") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[RedisSentinel]:
    """A master, a replica and a Sentinel, with two passwords."""
    with RedisSentinel(password="master=s3cret", sentinel_password="sentinel=s3cret") as servers:
        yield servers


@pytest.fixture(scope="session")
def redis_with_tls() -> Iterator[RedisServer]:
    """A server that takes nothing but TLS, with a password of what Feast's connection string can carry."""
    with RedisServer(tls=True, password='odd #&"=%:@/ s3cret') as server:
        yield server


@pytest.fixture(scope="module", params=EVERY)
def online(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineCase]:
    """Every kind of online store in turn."""
    with _online_store(request) as online_store, opened(tmp_path_factory.mktemp("repo"), online_store) as case:
        yield case


@pytest.fixture(scope="module", params=OURS)
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineCase]:
    """The stores whose adapter is ours, for rules that need more than Feast's interface: a created timestamp in the
    store, microseconds, and a comparison inside the store."""
    with _online_store(request) as online_store, opened(tmp_path_factory.mktemp("repo"), online_store) as case:
        yield case


@contextmanager
def opened(folder: Path, online_store: dict[str, object], **changed: object) -> Iterator[OnlineCase]:
    """A repo of every type in `folder` over this online store; settings may be changed."""
    # A busy machine may take its time; what a deadline does is tested elsewhere.
    settings = Settings(feature_repo=write_repo(folder, online_store), online_timeout=2).model_copy(update=changed)
    repo = open_repo(settings)
    apply_definitions(repo, settings)
    snapshot = RegistryReader(repo).read()
    store = FeastOnlineStore(repo, settings.online_timeout)
    store.use(snapshot.feast_views)
    yield OnlineCase(folder, repo, store, dict(snapshot.catalog.views))
    store.close()
    repo.close()
    feast_connection = getattr(repo.store.provider.online_store, "_conn", None)
    if feast_connection is not None:
        feast_connection.close()


@contextmanager
def _online_store(request: pytest.FixtureRequest) -> Iterator[dict[str, object]]:
    """What feature_store.yaml says; the store is empty, and is emptied."""
    kind: str = request.param
    if kind == "sqlite":
        yield {"type": "sqlite", "path": "data/online.db"}
    elif kind in REDIS:
        servers: Redis | RedisCluster | RedisSentinel = request.getfixturevalue(REDIS[kind])
        yield {**servers.online_store, "key_ttl_seconds": 3600}
        servers.flush()
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.database() as database:
            yield database.feast_store


@pytest.fixture(params=["sqlite", "postgresql"])
def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    """An empty metadata database, of either kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'freshet.db'}"
    else:
        url = request.getfixturevalue("postgres_database").sqlalchemy_url
    store = MetadataStore(Settings(database_url=url))
    store.upgrade()
    yield store
    store.close()
