"""Writes to Redis in the shapes of production while part of it hangs, moves or refuses: in time, and never twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast.infra.online_stores.helpers import _redis_key
from redis.crc import key_slot

from app.domain import EntityKey, PushOutcome
from app.errors import StoreUnavailableError
from app.stores.protos import encode_key
from tests.contract.conftest import OnlineCase, opened, row, trip
from tests.servers import ClusterNode, RedisCluster, RedisSentinel, RedisServer
from tests.servers.certificates import make_certificates

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TIMEOUT = 2.0
"""Seconds, of one write. With redis-py's own retries a hung server holds a write up for four times as long."""


@contextmanager
def refused(says: str, within: float = 2 * TIMEOUT) -> Iterator[None]:
    """A StoreUnavailableError that says this, in time."""
    begin = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=says):
        yield
    assert time.monotonic() - begin < within


def redis_key(case: OnlineCase, key: EntityKey) -> bytes:
    config = case.repo.store.config
    proto = encode_key(key, [field.dtype for field in case.views["trips"].join_keys])
    found: bytes = _redis_key(config.project, proto, config.entity_key_serialization_version)
    return found


def trip_at(case: OnlineCase, cluster: RedisCluster, node: ClusterNode) -> EntityKey:
    """A key that lives on this node."""
    return next(key for key in iter(trip, None) if cluster.owner(redis_key(case, key)) is node)


def fare(case: OnlineCase, key: EntityKey) -> Any:
    (found,) = case.read(key)
    assert found is not None
    return found.values["fare"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One for all tests of this file: each leaves it whole."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def only_case(cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineCase]:
    settings = {"online_write_timeout": TIMEOUT, "online_timeout": TIMEOUT}
    with opened(tmp_path_factory.mktemp("repo"), cluster.online_store, **settings) as case:
        yield case


@pytest.fixture
def case(only_case: OnlineCase, cluster: RedisCluster) -> OnlineCase:
    """A store that has not connected yet, to a cluster without a trace of the test before."""
    only_case.store.close()
    cluster.wait_until_whole()
    return only_case


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_frozen_node_holds_up_its_own_keys_alone(case: OnlineCase, cluster: RedisCluster, number: int) -> None:
    frozen, other = cluster.nodes[number], cluster.nodes[number - 1]
    hung, well = trip_at(case, cluster, frozen), trip_at(case, cluster, other)
    case.write(row(hung, NOON, 1.0), row(well, NOON, 1.0))
    with frozen.paused():
        with refused(r"Redis does not answer \(TimeoutError\)"):
            case.write(row(hung, NOON + SECOND, 2.0))
        other.command("SCRIPT", "FLUSH")  # as after its restart: the script must reach this node without the others
        assert case.write(row(well, NOON + SECOND, 2.0)) == [PushOutcome.APPLIED]
        case.store.ping()
    # The write that timed out lay in the frozen node's socket: it may have been done, and then this one is a duplicate.
    assert case.write(row(hung, NOON + SECOND, 2.0)) in ([PushOutcome.APPLIED], [PushOutcome.DUPLICATE])
    assert (fare(case, hung), fare(case, well)) == (2.0, 2.0)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_process_that_starts_while_a_node_is_frozen(case: OnlineCase, cluster: RedisCluster, number: int) -> None:
    well = trip_at(case, cluster, cluster.nodes[number - 1])
    with cluster.nodes[number].paused():
        begin = time.monotonic()
        assert case.write(row(well, NOON, 1.0)) == [PushOutcome.APPLIED]
        assert time.monotonic() - begin < 2.5 * TIMEOUT
    assert fare(case, well) == 1.0


def test_a_cluster_that_is_frozen_altogether(case: OnlineCase, cluster: RedisCluster) -> None:
    first, second, third = cluster.nodes
    with first.paused(), second.paused(), third.paused():
        for _ in range(2):
            with refused(r"Redis does not answer \(TimeoutError\)"):
                case.write(row(trip(), NOON, 1.0))
    assert case.write(row(trip(), NOON, 1.0)) == [PushOutcome.APPLIED]


def test_a_write_follows_its_slot(case: OnlineCase, cluster: RedisCluster) -> None:
    source, target = cluster.nodes[:2]
    key = trip_at(case, cluster, source)
    case.write(row(key, NOON, 1.0))
    move = cluster.move(key_slot(redis_key(case, key)), target)
    move.begin()
    assert case.write(row(key, NOON + SECOND, 2.0)) == [PushOutcome.APPLIED]
    move.carry()
    target.command("SCRIPT", "FLUSH")
    assert case.write(row(key, NOON + SECOND * 2, 3.0)) == [PushOutcome.APPLIED]
    assert case.write(row(key, NOON, 1.0)) == [PushOutcome.LATE]
    move.finish()
    assert case.write(row(key, NOON + SECOND, 2.0), row(key, NOON + SECOND * 3, 4.0)) == [
        PushOutcome.LATE,
        PushOutcome.APPLIED,
    ]
    assert fare(case, key) == 4.0
    cluster.wait_until_whole()


@pytest.mark.full  # eight seconds, for two clusters
def test_a_cluster_that_moved_house_is_found_by_the_connection_string(tmp_path: Path) -> None:
    """Every node comes back under another address, as pods do; only the names of the connection string still hold."""
    with RedisCluster() as old, RedisCluster() as new:
        online_store = {**old.online_store, "connection_string": f"{old.connection_string},{new.connection_string}"}
        with opened(tmp_path, online_store, online_write_timeout=TIMEOUT) as case:
            case.write(row(trip(), NOON, 1.0))
            for node in old.nodes:
                node.kill()
            key = trip()
            with refused("Redis"):
                case.write(row(key, NOON, 1.0))
            assert case.write(row(key, NOON, 1.0)) == [PushOutcome.APPLIED]
            # The row, and the marks of the project.
            assert sum(node.command("DBSIZE") for node in new.nodes) == 2


def test_a_frozen_sentinel_holds_up_nobody_for_long(tmp_path: Path) -> None:
    with (
        RedisSentinel(password="master", sentinel_password="sentinel") as servers,
        opened(tmp_path, servers.online_store, online_write_timeout=TIMEOUT) as case,
    ):
        with servers.sentinel.paused(), refused(r"Redis does not answer \(MasterNotFoundError\)"):
            case.write(row(trip(), NOON, 1.0))
        assert case.write(row(trip(), NOON, 1.0)) == [PushOutcome.APPLIED]
        with servers.sentinel.paused():
            assert case.write(row(trip(), NOON, 1.0)) == [PushOutcome.APPLIED]


@pytest.mark.full  # a failover takes seconds
def test_writes_go_to_the_new_master(tmp_path: Path) -> None:
    with RedisSentinel() as servers, opened(tmp_path, servers.online_store, online_write_timeout=TIMEOUT) as case:
        key, before = trip(), servers.master
        case.write(row(key, NOON, 1.0))
        with before.paused():
            with refused(r"Redis does not answer \(TimeoutError\)"):
                case.write(row(trip(), NOON, 1.0))
            servers.wait_for_another_master(before)
            assert case.write(row(key, NOON + SECOND, 2.0)) == [PushOutcome.APPLIED]
        servers.wait_until_settled()
        assert fare(case, key) == 2.0


def test_a_password_that_looks_like_a_number(tmp_path: Path) -> None:
    with (
        RedisServer(password="1e5") as server,
        opened(tmp_path, server.online_store, online_write_timeout=TIMEOUT) as case,
    ):
        assert case.write(row(trip(), NOON, 1.0)) == [PushOutcome.APPLIED]
        server.command("CONFIG", "SET", "requirepass", "another")
        case.store.close()
        with refused("Redis refuses the password"):
            case.write(row(trip(), NOON, 1.0))


@pytest.mark.full  # the Redis inside the wheel has no TLS
def test_a_certificate_of_a_stranger(tmp_path: Path) -> None:
    with RedisServer(tls=True, password="s3cret") as server:
        stranger = make_certificates(tmp_path / "stranger", server.host).authority
        assert server.certificates is not None
        authority = str(server.certificates.authority)
        for wrong, says in (
            (str(stranger), "The certificate of Redis is not accepted"),
            (f"{stranger}-missing", "A file that the connection string of Redis names does not exist"),
        ):
            online_store: dict[str, object] = {
                "type": "redis",
                "connection_string": server.connection_string.replace(authority, wrong),
            }
            with opened(tmp_path / "repo", online_store) as case, refused(says):
                case.write(row(trip(), NOON, 1.0))


def test_a_redis_that_has_lost_the_script_is_told_it_again(tmp_path: Path, private_redis: RedisServer) -> None:
    """Of several scripts that are sent at once all find it missing."""
    with opened(tmp_path, private_redis.online_store) as case:
        keys = [trip() for _ in range(250)]
        for count, moment in ((250, NOON), (250, NOON + SECOND), (1, NOON + 2 * SECOND)):
            private_redis.command("SCRIPT", "FLUSH")
            written = case.write(*(row(key, moment, float(place)) for place, key in enumerate(keys[:count])))
            assert written == [PushOutcome.APPLIED] * count
        assert [fare(case, key) for key in keys] == [float(place) for place in range(250)]


@pytest.mark.parametrize("place", [0, 249])
def test_what_redis_refuses_of_many_scripts_is_told(tmp_path: Path, private_redis: RedisServer, place: int) -> None:
    with opened(tmp_path, private_redis.online_store) as case:
        case.write(row(trip(), NOON, 1.0))  # so that Redis knows the script
        keys = [trip() for _ in range(250)]
        private_redis.command("SET", redis_key(case, keys[place]), "somebody else's")
        rows = [row(key, NOON, 1.0) for key in keys]
        with refused(r"Redis refuses the command \(WRONGTYPE\)"):
            case.write(*rows)
        private_redis.command("DEL", redis_key(case, keys[place]))
        # The other scripts ran, and nothing is left on the connection from before.
        again = case.write(*rows)
        assert again[place] is PushOutcome.APPLIED
        assert again[100:200] == [PushOutcome.DUPLICATE] * 100
        assert case.write(*rows) == [PushOutcome.DUPLICATE] * 250
