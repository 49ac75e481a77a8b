"""`freshet serve` on a Redis that Sentinel watches: the master changes, freezes and dies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.lab import Lab, check_unavailable, lab
from tests.servers import RedisSentinel
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.full  # every failover takes seconds

FARES = {f"customer-{number}": float(number) for number in range(5)}


@pytest.fixture(scope="module")
def servers() -> Iterator[RedisSentinel]:
    """One for all tests of this file: each leaves a master and a replica that follows it."""
    with RedisSentinel(password="master-s3cret", sentinel_password="sentinel-s3cret") as servers:
        yield servers


@pytest.fixture(scope="module")
def served(servers: RedisSentinel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), servers.online_store) as served:
        yield served


@pytest.fixture(autouse=True)
def replicated(served: Lab, servers: RedisSentinel) -> None:
    """Every test begins with rows that the replica has, too."""
    assert served.push(FARES).json()["rejected"] == 0
    assert served.fares(*FARES) == list(FARES.values())
    written = servers.master.command("DBSIZE")
    wait_until("the replica to have the rows", lambda: servers.replica.command("DBSIZE") == written)


def check_new_master(served: Lab, servers: RedisSentinel, fare: float) -> None:
    """What is pushed now is on the master that Sentinel names, and is read."""

    def pushed() -> bool:
        return served.push({"new": fare}).status_code == 200

    wait_until("a push to succeed", pushed, seconds=10.0)
    wait_until("the new master to be read", lambda: served.fares("new") == [fare], seconds=10.0)
    before = servers.master.command("DBSIZE")
    assert served.push({f"another-{fare}": fare}).json()["applied"] == 1
    assert servers.master.command("DBSIZE") == before + 1


def test_a_planned_failover(served: Lab, servers: RedisSentinel) -> None:
    with served.reading(list(FARES)) as readings:
        servers.failover()
        readings.wait_for_more()
        served.wait_until_read("customer-1", seconds=5.0)
    assert readings.faults == []
    assert {status for status, _ in readings.answers} <= {200, 503}
    wrong = [found for _, found in readings.answers if any(FARES[name] != fare for name, fare in found.items())]
    assert wrong == []
    assert served.fares(*FARES) == list(FARES.values())
    check_new_master(served, servers, 1.0)


def test_a_master_that_dies(served: Lab, servers: RedisSentinel) -> None:
    before = servers.master
    before.kill()
    check_unavailable(served.read("customer-1"), "Redis")
    assert served.readiness()[0] == 503
    servers.wait_for_another_master(before)
    served.wait_until_read("customer-1", seconds=5.0)
    assert served.fares(*FARES) == list(FARES.values())
    assert served.readiness() == (200, "ok")
    check_new_master(served, servers, 2.0)
    before.start()
    servers.wait_until_settled()
    assert served.fares(*FARES, "new") == [*FARES.values(), 2.0]


def test_a_master_that_freezes(served: Lab, servers: RedisSentinel) -> None:
    """Its connections stay open and say nothing: they must not be used again once there is another master."""
    before = servers.master
    with before.paused():
        check_unavailable(served.read("customer-1"), "Redis")
        servers.wait_for_another_master(before)
        served.wait_until_read("customer-1", seconds=5.0)
        for _ in range(10):
            assert served.fares(*FARES) == list(FARES.values())
        check_new_master(served, servers, 3.0)
    servers.wait_until_settled()
    assert served.fares("new") == [3.0]


def test_a_frozen_sentinel_is_not_missed_while_the_master_is_well(served: Lab, servers: RedisSentinel) -> None:
    with servers.sentinel.paused():
        for _ in range(10):
            assert served.fares(*FARES) == list(FARES.values())


def test_no_password_was_ever_said(served: Lab, servers: RedisSentinel) -> None:
    everything = "\n".join([served.server.output(), *served.said])
    assert len(everything) > 10_000
    assert [word for word in ("master-s3cret", "sentinel-s3cret") if word in everything] == []
    ports = [server.port for server in (*servers.servers, servers.sentinel)]
    assert [port for port in ports if f":{port}" in "\n".join(served.said)] == []
