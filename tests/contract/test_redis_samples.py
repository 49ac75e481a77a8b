"""Samples from a Redis that holds much else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast.infra.online_stores.helpers import _redis_key

from app.domain import EntityKey
from app.stores.protos import encode_key
from tests.contract.conftest import OnlineCase, opened, trip
from tests.contract.test_redis_deletion import Lab, lab
from tests.contract.writing import WriteRow
from tests.servers import Redis, RedisCluster

__all__ = ["lab"]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
# More than one call looks at.
FOREIGN = 250_000
_FILL = "for i = 1, ARGV[1] do redis.call('SET', 'k' .. i .. ARGV[2], '') end"


@pytest.fixture
def case(tmp_path: Path, empty_redis: Redis) -> Iterator[OnlineCase]:
    with opened(tmp_path, empty_redis.online_store, online_write_timeout=10.0) as case:
        yield case


def drivers(*numbers: int) -> list[WriteRow]:
    return [WriteRow(EntityKey(("driver_id",), (number,)), {"i64": 1}, NOON, None) for number in numbers]


def calls_until(case: OnlineCase, view: str, entities: int) -> int:
    """How many calls it takes to find as many."""
    for number in range(1, 20):
        if len(case.store.sample([case.views[view]], 100)[view].keys) == entities:
            return number
    raise AssertionError("they were not found")


def test_few_entities_among_very_many_keys_are_found_and_kept(case: OnlineCase, empty_redis: Redis) -> None:
    """The foreign keys end as the project's do, so that Redis cannot leave them out itself."""
    empty_redis.command("EVAL", _FILL, 0, FOREIGN, "lab")
    case.write(*drivers(1, 2, 3), view="drivers")
    assert calls_until(case, "drivers", 3) <= 4
    for _ in range(4):
        found = case.store.sample([case.views["drivers"]], 100)["drivers"]
        assert sorted(key.values[0] for key in found.keys) == [1, 2, 3]
        assert not found.whole
    empty_redis.command("FLUSHDB")
    assert case.store.sample([case.views["drivers"]], 100)["drivers"].keys == []


def test_a_sparse_view_among_entities_of_another_one(case: OnlineCase) -> None:
    """They share their hashes: each must be asked whether it has a row of both."""
    case.write(*drivers(*range(8_000)), view="drivers")
    few = [WriteRow(EntityKey(("driver_id",), (number,)), {"x": 1}, NOON, None) for number in (5, 6, 7_000)]
    case.write(*few, view="disabled_view")
    views = [case.views["drivers"], case.views["disabled_view"]]
    for _ in range(30):
        found = case.store.sample(views, 50)
        assert len(found["drivers"].keys) == 50
        if len(found["disabled_view"].keys) == 3:
            break
    assert sorted(key.values[0] for key in found["disabled_view"].keys) == [5, 6, 7_000]
    assert len(case.store.sample(views, 50)["disabled_view"].keys) == 3


def test_the_keys_of_mylab_are_not_those_of_lab(lab: Callable[[str], Lab]) -> None:
    mine, others, shortest = lab("lab"), lab("mylab"), lab("ab")
    mine.write("c", "xmy", "xl")
    others.write("c", "d")
    found = {one.repo.store.project: one.online.sample([one.views["trips"]], 10)["trips"] for one in (mine, others)}
    assert {key.values[1] for key in found["lab"].keys} == {"c", "xmy", "xl"}
    assert {key.values[1] for key in found["mylab"].keys} == {"c", "d"}
    assert shortest.online.sample([shortest.views["trips"]], 10)["trips"].keys == []
    assert shortest.online.marks([shortest.views["trips"]]) == {}


def test_keys_of_other_kinds_under_names_of_ours(case: OnlineCase, empty_redis: Redis) -> None:
    case.write(*drivers(1), view="drivers")
    with empty_redis.client() as client:
        (key,) = [key for key in client.scan_iter() if not key.startswith(b"freshet")]
    empty_redis.command("SET", key.replace(b"\x01\0\0\0\0\0\0\0lab", b"\x02\0\0\0\0\0\0\0lab"), "no hash")
    empty_redis.command("HSET", key.replace(b"\x01\0\0\0\0\0\0\0lab", b"\x03\0\0\0\0\0\0\0lab"), "other", "field")
    found = case.store.sample([case.views["drivers"]], 10)["drivers"]
    assert ([key.values for key in found.keys], found.whole) == ([(1,)], True)


def test_a_mark_that_cannot_be_kept_fails_no_write(case: OnlineCase, empty_redis: Redis) -> None:
    empty_redis.command("SET", "freshet:marks:lab", "no hash")
    case.write(*drivers(1), view="drivers")
    assert len(case.read(EntityKey(("driver_id",), (1,)), view="drivers")) == 1
    empty_redis.command("DEL", "freshet:marks:lab")
    empty_redis.command("HSET", "freshet:marks:lab", "drivers", "no mark")
    assert case.store.marks([case.views["drivers"]]) == {}
    case.write(*drivers(2), view="drivers")
    assert case.store.marks([case.views["drivers"]])["drivers"].rows == 1


def test_every_master_of_a_cluster_is_sampled(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    with opened(tmp_path, redis_cluster.online_store) as case:
        redis_cluster.flush()
        keys = [trip() for _ in range(300)]
        case.write(*(WriteRow(key, {"fare": 1.0}, NOON, None) for key in keys))
        found = case.store.sample([case.views["trips"]], 1000)["trips"]
        assert (set(found.keys), found.whole) == (set(keys), True)
        config: Any = case.repo.store.config
        assert len({redis_cluster.owner(_stored(config, key)).port for key in found.keys}) == 3
        redis_cluster.flush()


def _stored(config: Any, key: EntityKey) -> bytes:
    return bytes(_redis_key(config.project, encode_key(key, ["INT64", "STRING"]), 3))
