"""The Python client against a real `freshet serve` over a Redis of its own."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from app.client import (
    AsyncClient,
    Client,
    InvalidRequestError,
    NotFoundError,
    PushOutcome,
    Retries,
    StaleFeaturesError,
    UnavailableError,
    ValueStatus,
)
from app.settings import Settings
from tests.integration.losing_proxy import LosingProxy
from tests.integration.pushes import offline_count
from tests.integration.server_process import FreshetServer, run_here, serving
from tests.repos.everything import ROW, write_repo
from tests.servers import RedisServer

FEATURES = [f"drivers:{name}" for name in ROW if name != "driver_id"]
NATIVE = {**ROW, "blob": base64.b64decode(str(ROW["blob"])), "seen": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
"""ROW as Python has it."""


@dataclass(frozen=True)
class Lab:
    """A server, the Redis that it reads, and a client of it."""

    server: FreshetServer
    redis: RedisServer
    client: Client
    settings: Settings


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The repo with every type, applied and served."""
    folder = tmp_path_factory.mktemp("client")
    with RedisServer() as redis:
        online: dict[str, object] = {"type": "redis", "connection_string": redis.connection_string}
        repo = write_repo(folder / "repo", online=online)
        environment = {
            "FRESHET_FEATURE_REPO": str(repo),
            "FRESHET_ONLINE_TIMEOUT": "2",
            "FRESHET_ONLINE_WRITE_TIMEOUT": "2",
        }
        applied = run_here("apply", environment=environment)
        assert applied.returncode == 0, applied.stderr
        with serving("serve", environment=environment, folder=folder) as server, Client(server.url) as client:
            yield Lab(server, redis, client, Settings(feature_repo=repo))


def test_every_type_there_and_back(lab: Lab) -> None:
    moment = datetime.now(timezone(timedelta(hours=5))) - timedelta(minutes=1)
    rows = [{**NATIVE, "driver_id": 1, "ts": moment}, dict.fromkeys(NATIVE, None) | {"driver_id": 2}]
    pushed = lab.client.push("driver_events", rows, to="online", idempotency_key=None)
    assert [outcome.outcome for outcome in pushed.outcomes] == [PushOutcome.APPLIED] * 2

    many = lab.client.read_many({"driver_id": [2, 1, 404]}, features=FEATURES)

    types = lab.client.feature_view("drivers").types
    table = many.to_arrow(types=types)
    bare = [{name.removeprefix("drivers:"): value for name, value in row.items()} for row in table.to_pylist()]
    attributes = {"attributes": '{"k":"v"}', "document": '{"deep":[1,null,"x"]}'}
    assert {name: bare[1][name] for name in NATIVE} == {**NATIVE, "driver_id": 1, **attributes}
    assert {bare[0][name] for name in NATIVE} == {None, 2}
    assert table.schema.field("drivers:seen").type == pa.timestamp("us", "UTC")
    frame = many.to_pandas(types=types)
    assert frame["drivers:i64"].tolist() == [pd.NA, 2**53 + 1, pd.NA]
    assert str(frame["drivers:f32"].dtype) == "float32"
    assert [row[0] for row in many.statuses] == [ValueStatus.NULL_VALUE, ValueStatus.PRESENT, ValueStatus.NOT_FOUND]
    assert many.event_timestamps["drivers"][1] == moment
    assert many.event_timestamps["drivers"][2] is None
    one = lab.client.read_one("all_drivers", {"driver_id": 1})
    assert one.features == {name: value for name, value in ROW.items() if name != "driver_id"}


@pytest.mark.parametrize("encode", [pd.DataFrame, pa.Table.from_pylist], ids=["DataFrame", "Table"])
def test_rows_of_pandas_and_arrow(lab: Lab, encode: Any) -> None:
    now = datetime.now(UTC) - timedelta(seconds=1)
    rows = [
        {"driver_id": 2**53 + 1, "customer_id": "é", "fare": 1.5, "name": "a", "ts": now},
        {"driver_id": -(2**63), "customer_id": "x", "fare": None, "name": None, "ts": now},
    ]
    answer = lab.client.push("trip_events", encode(rows), encoding="json", idempotency_key=None)
    assert answer.applied == 2, answer

    keys = encode(rows).to_pandas() if encode is not pd.DataFrame else encode(rows)
    read = lab.client.read_many(keys[["driver_id", "customer_id"]], features=["trips:fare", "trips:name"])

    assert read.values == [[1.5, "a"], [None, None]]
    assert read.event_timestamps["trips"] == [now, now]


def test_a_rejected_row_is_told_beside_the_others(lab: Lab) -> None:
    rows = [{"driver_id": 9, "customer_id": "c", "fare": 1.5, "name": "n"}, {"driver_id": None, "color": 1}]
    answer = lab.client.push("trip_events", rows, idempotency_key=None)
    assert (answer.received, answer.applied, answer.rejected) == (2, 1, 1)
    assert "unknown column color" in str(answer.rejections[0].reason)


def test_problems_of_a_real_server(lab: Lab) -> None:
    with pytest.raises(NotFoundError) as unknown:
        lab.client.feature_view("nowhere at all ü")
    with pytest.raises(InvalidRequestError) as invalid:
        lab.client.read_many({"driver_id": ["x", 2**70]}, features=["drivers:i64"])
    lab.client.push("driver_events", [{**NATIVE, "driver_id": 77}], to="online", idempotency_key=None)
    with pytest.raises(StaleFeaturesError):
        lab.client.read_one("all_drivers", {"driver_id": 77}, max_staleness=timedelta(0), on_stale="fail")

    assert "nowhere at all ü" in unknown.value.problem.detail
    assert [fault.field for fault in invalid.value.problem.errors] == ["entities.driver_id[0]", "entities.driver_id[1]"]
    assert invalid.value.problem.request_id


def test_the_registry_and_readiness(lab: Lab) -> None:
    views = {view.name: view for view in lab.client.feature_views()}
    services = {service.name: service for service in lab.client.feature_services()}

    assert views["drivers"].ttl == timedelta(hours=2)
    assert views["drivers"] == lab.client.feature_view("drivers")
    assert views["disabled_view"].refusal
    assert not services["refused"].servable
    assert services["both"] == lab.client.feature_service("both")
    readiness = lab.client.ready()
    assert readiness
    assert readiness.checks["online_store"] == "ok"


def test_one_client_for_many_threads_and_many_tasks(lab: Lab) -> None:
    lab.client.push("weather_reports", [{"rain": True}], idempotency_key=None)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: lab.client.read_one("anywhere", {}).features, range(40)))
    assert results == [{"rain": True}] * 40

    async def ask() -> list[Any]:
        async with AsyncClient(lab.server.url) as client:
            return await asyncio.gather(*(client.read_one("anywhere", {}) for _ in range(20)), client.ready())

    *read, readiness = asyncio.run(ask())
    assert [answer.features for answer in read] == results[:20]
    assert readiness.ready


def test_a_read_outlasts_a_store_that_hangs_and_a_push_without_a_key_does_not(lab: Lab) -> None:
    lab.client.push("weather_reports", [{"rain": False}], idempotency_key=None)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        lab.redis.resume()

    with Client(lab.server.url, sleep=wait) as client:
        lab.redis.pause()
        assert client.read_one("anywhere", {}).features == {"rain": False}
        # The server's Retry-After, and the client's own delay. A slow machine may have needed more than one.
        assert 1 < waits[0] <= 1.1

        waits.clear()
        lab.redis.pause()
        try:
            with pytest.raises(UnavailableError) as caught:
                client.push("weather_reports", [{"rain": True}], idempotency_key=None)
        finally:
            lab.redis.resume()
        assert caught.value.retry_after == 1
        assert waits == []


def test_a_push_whose_answer_is_lost_is_sent_again_and_written_once(lab: Lab) -> None:
    # Without a timestamp of its own each write of the row would be another one.
    rows = [{"driver_id": 300, "customer_id": "lost", "fare": 1.5, "name": "n"}]
    with (
        LosingProxy(lab.server.url) as proxy,
        Client(proxy.url, retries=Retries(first_delay=0)) as client,
    ):
        proxy.losses = 2
        answers = [client.push("trip_events", rows) for _ in range(2)]
    assert [answer.applied for answer in answers] == [1, 1]
    # Two answers were lost, so that the first call needed three attempts, and the second one has a key of its own.
    keys = [headers["Idempotency-Key"] for headers in proxy.heard]
    assert keys == [keys[0]] * 3 + [keys[3]]
    assert keys[0] != keys[3]
    assert offline_count(lab.settings, "trips", "customer_id", "lost") == 2
