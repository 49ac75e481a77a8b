"""Looking into a Redis, and keeping marks in it, while part of it hangs or is gone: in time, and without harm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.crc import key_slot

from app.domain import EntityKey, PushOutcome
from app.stores.redis_marks import marks_key
from tests.contract.conftest import OnlineCase, opened, row, trip
from tests.faults.test_redis_writes import redis_key, refused
from tests.servers import ClusterNode, RedisCluster, RedisServer

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One for all tests of this file: each leaves it whole."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def only_case(cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineCase]:
    settings = {"online_write_timeout": TIMEOUT, "online_timeout": 0.2}
    with opened(tmp_path_factory.mktemp("repo"), cluster.online_store, **settings) as case:
        yield case


@pytest.fixture
def case(only_case: OnlineCase, cluster: RedisCluster) -> OnlineCase:
    """A cluster without a trace of the test before."""
    only_case.store.close()
    cluster.wait_until_whole()
    cluster.flush()
    return only_case


def trips(case: OnlineCase) -> tuple[list[EntityKey], bool]:
    found = case.store.sample([case.views["trips"]], 1000)["trips"]
    return list(found.keys), found.whole


def at(case: OnlineCase, cluster: RedisCluster, node: ClusterNode, keys: list[EntityKey]) -> set[EntityKey]:
    return {key for key in keys if cluster.owner(redis_key(case, key)) is node}


def test_a_redis_that_hangs(tmp_path: Path, private_redis: RedisServer) -> None:
    with opened(tmp_path, private_redis.online_store, online_write_timeout=TIMEOUT) as case:
        case.write(row(trip(), NOON, 1.0))
        with private_redis.paused():
            with refused(r"Redis does not answer \(TimeoutError\)", 3 * TIMEOUT):
                trips(case)
            with refused(r"Redis does not answer \(TimeoutError\)", 3 * TIMEOUT):
                case.store.marks([case.views["trips"]])
        assert len(trips(case)[0]) == 1
        private_redis.kill()
        with refused(r"Redis does not answer \(ConnectionError\)"):
            trips(case)
        private_redis.start()


@pytest.mark.full  # three nodes, and waiting for timeouts
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_other_nodes_are_sampled(case: OnlineCase, cluster: RedisCluster, number: int) -> None:
    keys = [trip() for _ in range(60)]
    case.write(*(row(key, NOON, 1.0) for key in keys))
    assert set(trips(case)[0]) == set(keys)
    frozen = cluster.nodes[number]
    hung = at(case, cluster, frozen, keys)
    with frozen.paused():
        begin = time.monotonic()
        found, whole = trips(case)
        assert time.monotonic() - begin < 4 * TIMEOUT
        assert not whole
        assert set(found) == set(keys) - hung
    again, whole = trips(case)
    assert (set(again), whole) == (set(keys), True)


@pytest.mark.full  # three nodes, and waiting for timeouts
def test_a_cluster_that_is_frozen_altogether(case: OnlineCase, cluster: RedisCluster) -> None:
    case.write(row(trip(), NOON, 1.0))
    first, second, third = cluster.nodes
    with first.paused(), second.paused(), third.paused(), refused("Redis does not answer", 3 * TIMEOUT):
        trips(case)
    assert len(trips(case)[0]) == 1


@pytest.mark.full  # three nodes, and waiting for timeouts
def test_rows_are_written_though_the_node_of_the_marks_hangs(case: OnlineCase, cluster: RedisCluster) -> None:
    marks_at = cluster.owner(marks_key("lab"))
    well = [key for key in (trip() for _ in range(200)) if cluster.owner(redis_key(case, key)) is not marks_at]
    view = case.views["trips"]
    case.write(row(well[0], NOON, 1.0))
    case.store.ping()  # connects for short questions
    with marks_at.paused():
        begin = time.monotonic()
        assert case.write(row(well[1], NOON + SECOND, 1.0)) == [PushOutcome.APPLIED]
        assert time.monotonic() - begin < TIMEOUT
        # Who has waited in vain does not wait again with the next write.
        begin = time.monotonic()
        assert case.write(*(row(key, NOON, 1.0) for key in well[2:12])) == [PushOutcome.APPLIED] * 10
        assert time.monotonic() - begin < 0.2
        # Nor does it keep the other nodes from being watched.
        assert case.store.marks([view]) == {}
    store = case.repo.store.provider.online_store
    store._marks_apart._silent_until = 0.0
    case.write(row(well[20], NOON, 1.0))
    found = case.store.marks([view])["trips"]
    # What was owed has been kept with it.
    assert (found.newest, found.rows) == (NOON + SECOND, 1)


@pytest.mark.full  # three nodes, and waiting for timeouts
def test_entities_that_move_to_another_node_are_found_there(case: OnlineCase, cluster: RedisCluster) -> None:
    keys = [trip() for _ in range(20)]
    case.write(*(row(key, NOON, 1.0) for key in keys))
    moving = next(iter(at(case, cluster, cluster.nodes[0], keys)))
    move = cluster.move(key_slot(redis_key(case, moving)), cluster.nodes[1])
    move.begin()
    assert set(trips(case)[0]) == set(keys)
    move.carry()
    # On its way it may be missed.
    assert set(trips(case)[0]) >= set(keys) - {moving}
    move.finish()
    cluster.wait_until_whole()
    assert set(trips(case)[0]) == set(keys)
