"""`freshet serve` over the repo of every type and a Redis in one of production's shapes; all else is embedded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from tests.integration.server_process import FreshetServer, run_here, serving
from tests.repos.everything import write_repo
from tests.servers.waiting import wait_until

TIMEOUT = 1.0
"""Seconds that a read may wait for Redis."""
IN_TIME = TIMEOUT + 0.6
"""Seconds until the answer: a margin for everything else that runs on this machine, less than a second wait."""
GENEROUS = 30.0


@dataclass
class Lab:
    """A server, and everything that it has answered."""

    server: FreshetServer
    client: httpx.Client
    """Connections are kept: what is timed should be the answer."""
    said: list[str] = field(default_factory=list)

    def read(self, *customers: str) -> httpx.Response:
        """The fares of these customers; whatever the answer, it comes in time."""
        entities = {"driver_id": [1] * len(customers), "customer_id": list(customers)}
        body = {"features": ["trips:fare"], "entities": entities}
        begin = time.monotonic()
        answer = self._heard(self.client.post("/v1/online-features", json=body))
        elapsed = time.monotonic() - begin
        assert elapsed < IN_TIME, f"{answer.status_code} after {elapsed:.2f} s"
        return answer

    def fares(self, *customers: str) -> list[Any]:
        """The values; the read must succeed."""
        answer = self.read(*customers)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert {status for row in body["statuses"] for status in row} == {"PRESENT"}, body
        return [row[0] for row in body["values"]]

    def push(self, fares: dict[str, float], later: timedelta = timedelta(0)) -> httpx.Response:
        """One row per customer, online."""
        moment = (datetime.now(UTC) + later).isoformat()
        rows = [
            {"driver_id": 1, "customer_id": customer, "fare": fare, "name": "x", "ts": moment, "made": moment}
            for customer, fare in fares.items()
        ]
        return self._heard(self.client.post("/v1/push/trip_events", json={"rows": rows, "to": "online"}))

    def readiness(self) -> tuple[int, str]:
        """The status of /readyz, and what it says about the online store."""
        answer = self._heard(self.client.get("/readyz"))
        return answer.status_code, answer.json()["checks"]["online_store"]

    def wait_until_read(self, customer: str, seconds: float = 10.0) -> None:
        """Until a read succeeds again, by itself."""
        wait_until(f"{customer} to be read again", lambda: self.read(customer).status_code == 200, seconds)

    @contextmanager
    def reading(self, customers: Sequence[str], readers: int = 3) -> Iterator[Readings]:
        """Read the customers all the time inside the with block, one random half each time."""
        readings = Readings(self, list(customers))
        threads = [threading.Thread(target=readings.run, args=(number,)) for number in range(readers)]
        for thread in threads:
            thread.start()
        try:
            yield readings
        finally:
            readings.over.set()
            for thread in threads:
                thread.join()

    def _heard(self, response: httpx.Response) -> httpx.Response:
        self.said.append(f"{response.headers}{response.text}")
        return response


class Readings:
    """What readers in the background have got."""

    def __init__(self, lab: Lab, customers: list[str]) -> None:
        self.over = threading.Event()
        self.answers: list[tuple[int, dict[str, Any]]] = []
        """Status, and the fares by customer."""
        self.faults: list[str] = []
        self._lab = lab
        self._customers = customers

    def run(self, number: int) -> None:
        while not self.over.is_set():
            number += 1
            # Windows of different lengths and places, so that requests reach one node, several or all.
            chosen = [self._customers[(number * 7 + step) % len(self._customers)] for step in range(1 + number % 9)]
            try:
                answer = self._lab.read(*chosen)
            except (AssertionError, httpx.TransportError) as fault:
                self.faults.append(repr(fault))
                continue
            values = [row[0] for row in answer.json()["values"]] if answer.status_code == 200 else []
            self.answers.append((answer.status_code, dict(zip(chosen, values, strict=False))))

    def wait_for_more(self, count: int = 10) -> None:
        """Until so many more reads have begun and ended."""
        enough = len(self.answers) + len(self.faults) + count
        wait_until("more reads", lambda: len(self.answers) + len(self.faults) >= enough)


@contextmanager
def lab(folder: Path, online_store: dict[str, object], ready: int = 200) -> Iterator[Lab]:
    """Everything applied and served."""
    environment = {
        "FRESHET_FEATURE_REPO": str(write_repo(folder / "repo", online_store)),
        "FRESHET_DATA_DIR": str(folder / "data"),
        "FRESHET_ONLINE_TIMEOUT": str(TIMEOUT),
        "FRESHET_ONLINE_WRITE_TIMEOUT": "1",
    }
    done = run_here("apply", environment=environment)
    assert done.returncode == 0, done
    with (
        serving("serve", environment=environment, folder=folder, ready=ready) as server,
        httpx.Client(base_url=server.url, timeout=GENEROUS) as client,
    ):
        yield Lab(server, client)


def redis_key(customer: str) -> bytes:
    """Where Feast keeps the customer's trips with driver 1."""
    values = [ValueProto(int64_val=1), ValueProto(string_val=customer)]
    proto = EntityKeyProto(join_keys=["driver_id", "customer_id"], entity_values=values)
    found: bytes = _redis_key("lab", proto, 3)
    return found


def check_unavailable(answer: httpx.Response, says: str) -> None:
    """A 503 that says when to come back, and what is wrong."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert says in answer.json()["detail"], answer.text
