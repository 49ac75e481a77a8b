"""`freshet serve` on a Redis with TLS and a password: what is wrong is said, what is secret is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.lab import Lab, check_unavailable, lab
from tests.servers import RedisServer
from tests.servers.certificates import make_certificates

pytestmark = pytest.mark.full  # the Redis inside the wheel has no TLS, and each test starts a server

PASSWORD = 'odd #&"=%:@/ s3cret'


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer(tls=True, password=PASSWORD) as server:
        yield server


def check_nothing_said(served: Lab) -> None:
    everything = "\n".join([served.server.output(), *served.said])
    assert len(everything) > 500
    assert "s3cret" not in everything


def test_a_frozen_server_is_a_503_and_then_a_200(redis_server: RedisServer, tmp_path: Path) -> None:
    with lab(tmp_path, redis_server.online_store) as served:
        assert served.push({"ada": 1.5}).json()["applied"] == 1
        assert served.fares("ada") == [1.5]
        with redis_server.paused():
            for _ in range(3):
                check_unavailable(served.read("ada"), "Redis")
        served.wait_until_read("ada", seconds=2.0)
        assert served.fares("ada") == [1.5]
        check_nothing_said(served)


@pytest.mark.parametrize(
    ("fault", "says"), [("a stranger's certificate", "certificate"), ("a wrong password", "password")]
)
def test_what_redis_or_we_refuse_is_said(fault: str, says: str, redis_server: RedisServer, tmp_path: Path) -> None:
    assert redis_server.certificates is not None
    string = redis_server.connection_string.replace(PASSWORD, "wrong s3cret")
    if fault == "a stranger's certificate":
        stranger = make_certificates(tmp_path / "stranger", redis_server.host).authority
        string = redis_server.connection_string.replace(str(redis_server.certificates.authority), str(stranger))
    online_store: dict[str, object] = {"type": "redis", "connection_string": string}
    with lab(tmp_path / "lab", online_store, ready=503) as served:
        status, check = served.readiness()
        assert (status, says in check) == (503, True), check
        check_unavailable(served.read("ada"), says)
        check_unavailable(served.push({"ada": 1.5}), says)
        check_nothing_said(served)
        assert f":{redis_server.port}" not in "\n".join(served.said)
