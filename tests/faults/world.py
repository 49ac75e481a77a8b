"""A served production profile whose stores a test may freeze and kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import psycopg

from tests.integration.profiles import opened
from tests.integration.server_process import FreshetServer, serving
from tests.servers import Database, PostgresServer, RedisServer

VECTOR = "/v1/online-features/assistant_v1?user_id="
PUSH = "/v1/push/user_realtime_events"
GENEROUS = 30.0
"""Seconds. Without deadlines of its own a read of a frozen Redis takes forever; with them a second or so."""


@dataclass
class World:
    """A server over a Redis and a PostgreSQL of its own, and everything that it has answered."""

    server: FreshetServer
    environment: dict[str, str]
    redis: RedisServer
    postgres: PostgresServer
    database: Database
    said: list[str] = field(default_factory=list)

    def get(self, path: str) -> httpx.Response:
        return self._heard(self.server.get(path, timeout=GENEROUS))

    def read(self, user: str = "u1") -> httpx.Response:
        return self.get(VECTOR + user)

    def push(self, user: str, to: str, messages: int = 3, later: float = 0.0) -> httpx.Response:
        """One row, `later` seconds from now."""
        row = {
            "user_id": user,
            "event_timestamp": (datetime.now(UTC) + timedelta(seconds=later)).isoformat(),
            "current_session_messages": messages,
            "current_session_tokens": 10,
            "last_active_minutes_ago": 0.5,
        }
        return self._heard(self.server.post(PUSH, {"rows": [row], "to": to}, timeout=GENEROUS))

    def checks(self) -> dict[str, str]:
        found: dict[str, str] = self.get("/readyz").json()["checks"]
        return found

    def offline_rows(self, user: str) -> int:
        with psycopg.connect(self.database.url, connect_timeout=10) as connection:
            if connection.execute("SELECT to_regclass('user_realtime')").fetchone() == (None,):
                return 0  # the first push makes the table
            found = connection.execute("SELECT count(*) FROM user_realtime WHERE user_id = %s", [user]).fetchone()
        assert found is not None
        return int(found[0])

    def wait_until_ready(self) -> None:
        self.server.wait_for("/readyz to be 200 again", lambda: self.get("/readyz").status_code == 200)

    @contextmanager
    def without(self, store: RedisServer | PostgresServer) -> Iterator[None]:
        """The store is killed; at the end it is started again, on the same port and data."""
        store.kill()
        try:
            yield
        finally:
            store.start()
            self.wait_until_ready()

    def _heard(self, response: httpx.Response) -> httpx.Response:
        self.said.append(f"{response.headers}{response.text}")
        return response


@contextmanager
def created(folder: Path, **changed: str) -> Iterator[World]:
    """The production profile with data, served; passwords on both stores. Variables may be added or changed."""
    with (
        RedisServer(password="r3dis-s3cret", appendonly=True) as redis,
        PostgresServer(password="p0stgres-s3cret", durable=False) as postgres,
    ):
        database = postgres.create_database("features")
        with opened("production", folder / "data", database, redis) as profile:
            environment = {
                **profile.environment,
                "FRESHET_REGISTRY_REFRESH_INTERVAL": "0.1",
                "FRESHET_ONLINE_TIMEOUT": "0.5",
                "FRESHET_ONLINE_WRITE_TIMEOUT": "1",
                # Long enough for what a test wants to see meanwhile.
                "FRESHET_OFFLINE_WRITE_TIMEOUT": "8",
                **changed,
            }
            with serving("serve", environment=environment, folder=folder) as server:
                yield World(server, environment, redis, postgres, database)
