"""Stores that freeze, die and come back under a running `freshet serve`: what still answers, and what is kept."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.faults.starts import PASSWORD, check
from tests.faults.world import GENEROUS, PUSH, VECTOR, World, created
from tests.integration.server_process import run_here, serving


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests of this file: each leaves it as it was, and the last one reads what was said."""
    with created(tmp_path_factory.mktemp("world")) as world:
        yield world


def check_problem(response: httpx.Response) -> dict[str, Any]:
    """A 503 that says when to come back."""
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) >= 1
    body: dict[str, Any] = response.json()
    assert body.keys() == {"type", "title", "status", "detail", "instance", "request_id"}
    assert (body["status"], body["type"].endswith("/store-unavailable")) == (503, True)
    return body


def test_a_frozen_redis_is_a_503_and_then_a_200(world: World) -> None:
    assert world.read().status_code == 200
    with world.redis.paused():
        with ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda number: world.read(f"u{number}"), range(60)))
            assert world.get("/livez").status_code == 200
        for answer in answers:
            assert "Redis" in check_problem(answer)["detail"]
        many = {"feature_service": "assistant_v1", "entities": {"user_id": ["u1", "u2"]}}
        check_problem(world.server.post("/v1/online-features", many, timeout=GENEROUS))
        check_problem(world.push("frozen", "online"))
        assert "Redis" in world.checks()["online_store"]
        assert world.get("/readyz").status_code == 503
    world.wait_until_ready()
    assert world.read().json()["statuses"]["sessions_7d"] == "PRESENT"


def test_a_redis_that_died_and_came_back(world: World) -> None:
    with world.without(world.redis):
        check_problem(world.read())
        assert world.get("/readyz").status_code == 503
    assert world.read().json()["statuses"]["sessions_7d"] == "PRESENT"


def test_a_push_without_redis_is_kept_offline(world: World) -> None:
    with world.without(world.redis):
        assert "kept offline" in check_problem(world.push("kept", "online_and_offline"))["detail"]
        assert world.offline_rows("kept") == 1
        assert "may still be written" in check_problem(world.push("lost", "online"))["detail"]
        assert world.push("alone", "offline").json()["applied"] == 1
    assert [world.offline_rows(user) for user in ("kept", "lost", "alone")] == [1, 0, 1]
    done = run_here("materialize", "--view", "user_realtime", environment=world.environment)
    assert "applied" in done.stdout, done
    statuses = [world.read(user).json()["statuses"]["current_session_messages"] for user in ("kept", "lost", "alone")]
    assert statuses == ["PRESENT", "NOT_FOUND", "PRESENT"]


def test_a_push_without_the_offline_store_writes_nothing_online(world: World) -> None:
    with world.without(world.postgres):
        assert "offline store" in check_problem(world.push("unwritten", "online_and_offline"))["detail"]
        check_problem(world.push("unwritten", "offline"))
        assert world.push("written", "online").json()["applied"] == 1
        assert world.read("unwritten").json()["statuses"]["current_session_messages"] == "NOT_FOUND"
        assert world.read("written").json()["features"]["current_session_messages"] == 3
    assert world.push("unwritten", "online_and_offline").json()["applied"] == 1
    assert world.offline_rows("unwritten") == 1


def refresh_failures(world: World) -> float:
    found = re.search(r"^freshet_registry_refresh_failures_total (\S+)$", world.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_without_the_registry_the_last_plans_serve(world: World) -> None:
    before, warning = refresh_failures(world), "registry cannot be read; the last plans keep serving"
    warned = world.server.output().count(warning)
    with world.without(world.postgres):
        world.server.wait_for("failures to count", lambda: refresh_failures(world) >= before + 3)
        assert "the last plans keep serving" in world.checks()["registry"]
        assert world.read().json()["statuses"]["sessions_7d"] == "PRESENT"
        assert world.get("/v1/feature-views").status_code == 200
        assert world.server.output().count(warning) == warned + 1
    world.server.wait_for("the registry to be read again", lambda: "registry" not in world.checks())


@pytest.mark.full  # 9 s of waiting
def test_a_frozen_postgresql_holds_up_nobody_who_does_not_need_it(world: World) -> None:
    """More writers wait for it than the server has threads; reads, which need Redis alone, go on as if nothing were."""
    with ThreadPoolExecutor(45) as pool, world.postgres.paused():
        pushes = [pool.submit(world.push, f"hung{number}", "online_and_offline") for number in range(45)]
        world.server.wait_for("the pushes to hang", lambda: all(push.running() for push in pushes))
        for _ in range(10):
            assert world.read().json()["statuses"]["sessions_7d"] == "PRESENT"
        assert world.checks()["online_store"] == "ok"
        assert [push for push in pushes if push.done()] == []
        check_problem(next(as_completed(pushes)).result())
    assert {push.result().status_code for push in pushes} <= {200, 503}
    world.wait_until_ready()
    assert world.push("thawed", "online_and_offline").json()["applied"] == 1


@pytest.mark.full  # a dozen seconds each, all of them spent waiting for threads that hang
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_although_postgresql_hangs(
    world: World, tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    environment = {**world.environment, "FRESHET_SHUTDOWN_DELAY": "0", "FRESHET_PUSH_TIMEOUT": "1"}
    with serving("serve", "--workers", workers, environment=environment, folder=tmp_path) as server:
        started = "Application startup complete"
        server.wait_for("every worker", lambda: server.output().count(started) == int(workers))
        with world.postgres.paused():
            row = {"user_id": "u", "current_session_messages": 1, "current_session_tokens": 1}
            push = {"rows": [{**row, "last_active_minutes_ago": 1}], "to": "offline"}
            for _ in range(4):
                check_problem(server.post(PUSH, push, timeout=GENEROUS))
                assert server.get("/readyz").status_code == 503
            assert server.stop(number, seconds=GENEROUS) == 0
            assert [path.name for path in server.temporary.iterdir() if path.name.startswith("freshet")] == []


def test_a_server_that_starts_without_redis(world: World, tmp_path: Path) -> None:
    with world.without(world.redis):
        with serving("serve", environment=world.environment, folder=tmp_path, ready=503) as server:
            checks = server.get("/readyz").json()["checks"]
            assert {name for name, outcome in checks.items() if outcome != "ok"} == {"online_store"}
            check_problem(server.get(VECTOR + "u1"))
            world.redis.start()
            server.wait_for("/readyz to be 200", lambda: server.answers("/readyz"))
            assert server.get(VECTOR + "u1").json()["statuses"]["sessions_7d"] == "PRESENT"
        world.said.append(server.output())
        world.redis.kill()


def test_a_wrong_password_is_one_line_without_it(world: World, tmp_path: Path) -> None:
    url = world.database.sqlalchemy_url.replace(world.postgres.password, PASSWORD)
    environment = {**world.environment, "FRESHET_DATA_DIR": str(tmp_path)}
    check(run_here("db", "upgrade", environment={**environment, "FRESHET_DATABASE_URL": url}), "FRESHET_DATABASE_URL")
    check(run_here("apply", environment={**environment, "FRESHET_REGISTRY_URL": url}), "registry")
    assert run_here("apply", environment={**environment, "POSTGRES_PASSWORD": PASSWORD}).returncode == 0
    done = run_here("materialize", environment={**environment, "POSTGRES_PASSWORD": PASSWORD})
    assert (done.returncode, PASSWORD in done.stdout + done.stderr) == (1, False)
    assert done.stderr.splitlines()[-1].startswith("error: PostgreSQL (offline store)")


def test_no_password_was_ever_said(world: World) -> None:
    everything = "\n".join([world.server.output(), *world.said])
    assert len(everything) > 10_000
    for password in (world.redis.password, world.postgres.password):
        assert password is not None
        assert password not in everything
    assert f":{world.postgres.port}" not in "\n".join(world.said)
