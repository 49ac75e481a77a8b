"""The clusters, Sentinels and TLS servers that other tests rely on do what production's do, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.integration.remains import nothing_left
from tests.servers import (
    NoServerError,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    find_redis,
)
from tests.servers.certificates import make_certificates
from tests.servers.redissentinel import role

KEY = b"a key"
NEEDS_TLS = pytest.mark.full  # `make test` must do without openssl, and with the Redis inside the wheel: it has no TLS


def ping(server: RedisServer, **options: Any) -> None:
    retry = Retry(NoBackoff(), 0)
    with redis.Redis(
        server.host, server.port, password=server.password, socket_timeout=5, retry=retry, **options
    ) as client:
        client.ping()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One for all tests of this file: each leaves it whole."""
    with RedisCluster(password="a=b c", appendonly=True) as cluster:
        yield cluster


def test_a_slot_moves_by_ask_and_then_by_moved(cluster: RedisCluster) -> None:
    with cluster.client() as client:
        client.set(KEY, "1")
        source = cluster.owner(KEY)
        target = next(node for node in cluster.nodes if node is not source)
        move = cluster.move(key_slot(KEY), target)
        move.begin()
        assert source.command("GET", KEY) == b"1"
        assert move.keys() == [KEY]
        move.carry()
        with pytest.raises(redis.exceptions.AskError, match=str(target.port)):
            source.command("GET", KEY)
        with pytest.raises(redis.exceptions.MovedError, match=str(source.port)):
            target.command("GET", KEY)
        assert client.get(KEY) == b"1"
        move.finish()
        with pytest.raises(redis.exceptions.MovedError, match=str(target.port)):
            source.command("GET", KEY)
        assert (cluster.owner(KEY), target.command("GET", KEY), client.get(KEY)) == (target, b"1", b"1")
    cluster.wait_until_whole()


def test_a_frozen_node_is_missed_by_its_own_keys_alone(cluster: RedisCluster) -> None:
    frozen = cluster.owner(KEY)
    other = next(key for key in (b"%d" % number for number in range(100)) if cluster.owner(key) is not frozen)
    with cluster.client(timeout=0.2) as client:
        client.set(KEY, "2")
        with frozen.paused():
            with pytest.raises(redis.TimeoutError):
                client.get(KEY)
            assert client.set(other, "3")
        assert client.get(KEY) == b"2"


def test_a_killed_node_finds_its_slots_and_data_again(cluster: RedisCluster) -> None:
    killed = cluster.owner(KEY)
    with cluster.client() as client:
        client.set(KEY, "4")
        killed.kill()
        with pytest.raises(redis.ConnectionError):
            client.get(KEY)
        killed.start()
        cluster.wait_until_whole()
        assert cluster.owner(KEY) is killed
        assert client.get(KEY) == b"4"
        cluster.flush()
        assert client.get(KEY) is None


def test_nothing_of_a_cluster_is_left() -> None:
    cluster = RedisCluster()
    with cluster:
        assert {node.port + 10_000 < 65_536 for node in cluster.nodes} == {True}
        left = nothing_left(*cluster.nodes)
        left.__enter__()
    left.__exit__(None, None, None)


@pytest.mark.full  # a Sentinel and its nodes
def test_a_failover_swaps_the_roles_and_keeps_the_data() -> None:
    servers = RedisSentinel(password="p=w", sentinel_password="another")
    with servers:
        master, replica = servers.master, servers.replica
        with master.client() as client:
            client.set(KEY, "1")
            client.wait(1, 1000)
        servers.failover()
        assert (servers.master, servers.replica) == (replica, master)
        assert [role(server)[0] for server in (master, replica)] == [b"slave", b"master"]
        with replica.client() as client:
            assert client.get(KEY) == b"1"
        with master.client() as client, pytest.raises(redis.ReadOnlyError):
            client.set(KEY, "2")
        left = nothing_left(*servers.servers, servers.sentinel)
        left.__enter__()
    left.__exit__(None, None, None)


@pytest.mark.full  # two more failovers
def test_a_master_that_dies_is_replaced() -> None:
    with RedisSentinel() as servers:
        before = servers.master
        before.kill()
        servers.wait_for_another_master(before)
        servers.flush()
        before.start()
        servers.wait_until_settled()
        assert servers.replica is before


@NEEDS_TLS
def test_a_server_with_tls_takes_nothing_else(tmp_path: Path) -> None:
    with RedisServer(tls=True, password='odd #&"=%:@/ one') as server:
        server.flush()
        assert server.connection_string.startswith(
            f'127.0.0.1:{server.port},db=0,password=odd #&"=%:@/ one,ssl=true,ssl_ca_certs='
        )
        with pytest.raises(redis.ConnectionError):
            ping(server)
        assert server.certificates is not None
        ping(server, ssl=True, ssl_ca_certs=str(server.certificates.authority))
        stranger = make_certificates(tmp_path / "stranger", "127.0.0.1").authority
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            ping(server, ssl=True, ssl_ca_certs=str(stranger))


@NEEDS_TLS
def test_a_redis_without_tls_says_what_to_do() -> None:
    with (
        pytest.raises(NoServerError, match=r"built without TLS.*Install the package `redis-server`"),
        RedisServer(find_redis("wheel"), tls=True),
    ):
        pass
