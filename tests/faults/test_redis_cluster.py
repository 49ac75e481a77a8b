"""`freshet serve` on a Redis Cluster: slots that move under it, nodes that freeze and die."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from redis.crc import key_slot

from tests.faults.lab import Lab, check_unavailable, lab, redis_key
from tests.servers import ClusterNode, RedisCluster

pytestmark = pytest.mark.full  # three nodes, a server, and then waiting for timeouts

# redis-py's pipeline of a Cluster tries a command that timed out once more, and then asks every node for the slots.

FARES = {f"customer-{number}": float(number) for number in range(40)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One for all tests of this file: each leaves it whole."""
    with RedisCluster(password="cluster-s3cret", appendonly=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def served(cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), cluster.online_store) as served:
        assert served.push(FARES).json()["applied"] == len(FARES)
        yield served


def at(cluster: RedisCluster, node: ClusterNode) -> list[str]:
    """The customers whose rows are on this node."""
    return [customer for customer in FARES if cluster.owner(redis_key(customer)) is node]


def test_a_slot_that_moves_is_read_all_the_way(served: Lab, cluster: RedisCluster) -> None:
    source, target = cluster.nodes[:2]
    customer, *others = at(cluster, source)
    everybody = [customer, *others, *at(cluster, target)]
    expected = [FARES[name] for name in everybody]
    move = cluster.move(key_slot(redis_key(customer)), target)
    assert served.fares(*everybody) == expected
    move.begin()
    assert served.fares(*everybody) == expected
    move.carry()  # ASK
    assert served.fares(customer) == [FARES[customer]]
    assert served.fares(*everybody) == expected
    answer = served.read(customer, "nobody")
    assert [row[0] for row in answer.json()["statuses"]] == ["PRESENT", "NOT_FOUND"]
    assert served.push({customer: 1000.0}).json()["applied"] == 1
    assert served.fares(customer) == [1000.0]
    move.finish()  # MOVED
    assert served.fares(*everybody) == [1000.0, *expected[1:]]
    assert served.push({customer: FARES[customer]}).json()["applied"] == 1
    assert served.fares(*everybody) == expected
    assert cluster.owner(redis_key(customer)) is target
    cluster.wait_until_whole()


def test_no_reader_notices_slots_on_their_way(served: Lab, cluster: RedisCluster) -> None:
    with served.reading(list(FARES)) as readings:
        for number, customer in enumerate(list(FARES)[:12]):
            slot = key_slot(redis_key(customer))
            others = [node for node in cluster.nodes if node is not cluster.owner_of_slot(slot)]
            move = cluster.move(slot, others[number % 2])
            for step in (move.begin, move.carry, move.finish):
                step()
                readings.wait_for_more(4)
    assert readings.faults == []
    assert {status for status, _ in readings.answers} == {200}
    wrong = [found for _, found in readings.answers if any(FARES[name] != fare for name, fare in found.items())]
    assert wrong == []
    cluster.wait_until_whole()


def test_a_frozen_node_is_a_503_for_its_own_keys(served: Lab, cluster: RedisCluster) -> None:
    frozen = cluster.nodes[1]
    hung = at(cluster, frozen)
    well = [customer for customer in FARES if customer not in hung]
    assert served.fares(*FARES) == list(FARES.values())
    with frozen.paused():
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(served.read, [hung[number % len(hung)] for number in range(30)]))
        for answer in answers:
            check_unavailable(answer, "Redis")
        check_unavailable(served.read(*FARES), "Redis")
        assert served.fares(*well) == [FARES[customer] for customer in well]
        # Two thirds of the keys are served: taking the whole server out of the way would end that.
        assert served.readiness() == (200, "ok")
        check_unavailable(served.push({hung[0]: 1.0}, later=timedelta(hours=-1)), "Redis")
    served.wait_until_read(hung[0], seconds=2.0)
    assert served.fares(*FARES) == list(FARES.values())


def test_a_node_that_died_and_came_back(served: Lab, cluster: RedisCluster) -> None:
    killed = cluster.nodes[2]
    lost = at(cluster, killed)
    killed.kill()
    try:
        check_unavailable(served.read(*lost), "Redis")
        assert served.fares(*at(cluster, cluster.nodes[0]))
    finally:
        killed.start()
        cluster.wait_until_whole()
    served.wait_until_read(lost[0], seconds=5.0)
    assert served.fares(*FARES) == list(FARES.values())


def test_a_cluster_that_is_frozen_altogether(served: Lab, cluster: RedisCluster) -> None:
    first, second, third = cluster.nodes
    with first.paused(), second.paused(), third.paused():
        for _ in range(3):
            check_unavailable(served.read(*FARES), "Redis")
        assert served.readiness()[0] == 503
        assert served.server.answers("/livez")
    served.wait_until_read("customer-1", seconds=2.0)
    assert served.fares(*FARES) == list(FARES.values())


def test_the_password_was_never_said(served: Lab, cluster: RedisCluster) -> None:
    everything = "\n".join([served.server.output(), *served.said])
    assert len(everything) > 10_000
    assert "cluster-s3cret" not in everything
    assert [node.port for node in cluster.nodes if f":{node.port}" in "\n".join(served.said)] == []
