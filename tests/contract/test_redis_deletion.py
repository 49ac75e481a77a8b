"""What Feast deletes through our Redis store: the project's own rows, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from feast.infra.key_encoding_utils import serialize_entity_key

from app.domain import EntityKey
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.online import FeastOnlineStore
from app.stores.protos import encode_key
from app.stores.redis_keys import project_keys
from app.stores.redis_marks import marks_key
from app.stores.repo import FeastRepo, open_repo
from tests.contract.reading import read_rows
from tests.contract.writing import WriteRow, batch_of
from tests.repos.everything import write_repo
from tests.servers import Redis

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Lab:
    """A project of that name over the session's Redis."""

    def __init__(self, folder: Path, project: str, redis: Redis) -> None:
        write_repo(folder, {"type": "redis", "connection_string": redis.connection_string})
        path = folder / "feature_store.yaml"
        config = {**yaml.safe_load(path.read_text(encoding="utf-8")), "project": project}
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        settings = Settings(feature_repo=folder, online_timeout=2)
        self.repo: FeastRepo = open_repo(settings)
        apply_definitions(self.repo, settings)
        snapshot = RegistryReader(self.repo).read()
        self.views = snapshot.catalog.views
        self.feast_views = snapshot.feast_views
        self.online = FeastOnlineStore(self.repo, settings.online_timeout)
        self.online.use(snapshot.feast_views)

    @property
    def store(self) -> Any:
        return self.repo.store.provider.online_store

    def write(self, *customers: str) -> None:
        rows = [WriteRow(trip(customer), {"fare": 1.0, "name": None}, NOON, None) for customer in customers]
        self.online.write(self.views["trips"], batch_of(self.views["trips"], rows))
        driver = WriteRow(EntityKey(("driver_id",), (1,)), {"i64": 1}, NOON, None)
        self.online.write(self.views["drivers"], batch_of(self.views["drivers"], [driver]))

    def trips(self, *customers: str) -> list[bool]:
        rows = read_rows(self.online, self.views["trips"], [trip(customer) for customer in customers], ["fare"])
        return [row is not None for row in rows]

    def drivers(self) -> bool:
        (row,) = read_rows(self.online, self.views["drivers"], [EntityKey(("driver_id",), (1,))], ["i64"])
        return row is not None


def trip(customer: str) -> EntityKey:
    return EntityKey(("driver_id", "customer_id"), (1, customer))


@pytest.fixture
def lab(tmp_path: Path, empty_redis: Redis) -> Iterator[Callable[[str], Lab]]:
    """Makes projects, and closes them."""
    made: list[Lab] = []

    def make(project: str) -> Lab:
        made.append(Lab(tmp_path / project, project, empty_redis))
        return made[-1]

    yield make
    for one in made:
        one.online.close()
        one.repo.close()


def test_teardown_of_lab_keeps_the_keys_of_mylab(lab: Callable[[str], Lab], empty_redis: Redis) -> None:
    mine, others, shortest = lab("lab"), lab("mylab"), lab("ab")
    for one in (mine, others, shortest):
        one.write("c", "xmy", "xl")
    mine.repo.store.teardown()
    assert mine.trips("c", "xmy", "xl") == [False, False, False]
    assert not mine.drivers()
    for one in (others, shortest):
        assert one.trips("c", "xmy", "xl") == [True, True, True]
        assert one.drivers()
    with empty_redis.client() as client:
        assert set(client.scan_iter(b"freshet:*")) == {marks_key("mylab"), marks_key("ab")}


def test_a_removed_view_takes_its_own_rows_only(lab: Callable[[str], Lab], empty_redis: Redis) -> None:
    mine, others = lab("lab"), lab("mylab")
    for one in (mine, others):
        one.write("c", "xmy")
    mine.store.delete_table(mine.repo.store.config, mine.feast_views["trips"])
    assert mine.trips("c", "xmy") == [False, False]
    assert mine.drivers()
    assert others.trips("c", "xmy") == [True, True]
    with empty_redis.client() as client:
        # Nothing of the view is left behind, our clock field and its mark included.
        marks = {marks_key("lab"), marks_key("mylab")}
        assert len(set(client.scan_iter()) - marks) == 1 + 3
    assert empty_redis.command("HKEYS", marks_key("lab")) == [b"drivers"]
    assert sorted(empty_redis.command("HKEYS", marks_key("mylab"))) == [b"drivers", b"trips"]


def test_a_view_that_shares_its_hash_leaves_the_other_one(lab: Callable[[str], Lab]) -> None:
    mine = lab("lab")
    mine.write("c")
    disabled = mine.views["disabled_view"]
    row = WriteRow(EntityKey(("driver_id",), (1,)), {"x": 1}, NOON, None)
    mine.online.write(disabled, batch_of(disabled, [row]))
    mine.store.delete_table(mine.repo.store.config, mine.feast_views["drivers"])
    assert not mine.drivers()
    (found,) = read_rows(mine.online, disabled, [EntityKey(("driver_id",), (1,))], ["x"])
    assert found is not None


def test_names_that_are_patterns_stand_for_themselves(empty_redis: Redis) -> None:
    """The length of a join key of 42 characters is a `*`, that of one of 63 a `?`."""
    for length in (42, 63):
        name = "k" * length
        ours = serialize_entity_key(encode_key(EntityKey((name,), ("v",)), ["STRING"])) + b"lab"
        with empty_redis.client() as client:
            client.hset(ours, "f", "v")
            client.hset(ours.replace(bytes([length]), b"+", 1), "f", "v")
            assert list(project_keys(client, [name], "lab")) == [ours]
