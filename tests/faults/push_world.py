"""A server over the repo of readings, which tests push to and kill, and what its stores hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pyarrow.parquet as pq

from app.domain import to_microseconds
from app.stores.offline_parts import PartFiles
from tests.faults.push_load import SENSORS, Push
from tests.integration.server_process import FreshetServer, run_here, serving
from tests.repos.readings import write_readings_repo
from tests.servers import Database, Redis


class Kept(NamedTuple):
    """A row of the offline store, ordered as rule 1 orders the rows of one sensor; times in microseconds since 1970."""

    event: int
    created: int
    number: int
    sensor: int


@dataclass
class PushWorld:
    """The repo applied in `folder`; servers over it come and go."""

    folder: Path
    environment: dict[str, str]
    database: Database | None

    @contextmanager
    def serving(self, *arguments: str, **changed: str) -> Iterator[FreshetServer]:
        """`freshet serve` with these arguments; settings may be changed."""
        environment = {**self.environment, **{f"FRESHET_{name.upper()}": value for name, value in changed.items()}}
        with serving("serve", *arguments, environment=environment, folder=self.folder) as server:
            yield server

    def offline(self) -> list[Kept]:
        """Every row of the offline store, read by nothing of ours but the list of part files."""
        if self.database is not None:
            with psycopg.connect(self.database.url) as connection:
                if connection.execute("SELECT to_regclass('readings')").fetchone() == (None,):
                    return []
                rows = connection.execute("SELECT ts, made, value, sensor_id FROM readings").fetchall()
        else:
            files = PartFiles(self.folder / "repo/data/readings")
            with files.reading():
                tables = [pq.read_table(file, columns=["ts", "made", "value", "sensor_id"]) for file in files.files()]
            rows = [tuple(row.values()) for table in tables for row in table.to_pylist()]
        return [Kept(_micros(event), _micros(made), value, sensor) for event, made, value, sensor in rows]


def online(server: FreshetServer) -> dict[int, tuple[int, int]]:
    """The number and the event timestamp (microseconds since 1970) that each known sensor shows."""
    sensors = list(range(SENSORS))
    body = {"feature_service": "readings_v1", "entities": {"sensor_id": sensors}}
    answer = server.post("/v1/online-features", body)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    place = said["features"].index("readings:value")
    return {
        sensor: (values[place], _micros(datetime.fromisoformat(moment)))
        for sensor, values, moment in zip(sensors, said["values"], said["event_timestamps"]["readings"], strict=True)
        if moment is not None
    }


def newest(rows: Iterable[Kept]) -> dict[int, tuple[int, int]]:
    """By rule 1 the row that holds for each sensor, in the form of `online`."""
    return {row.sensor: (row.number, row.event) for row in sorted(rows)}


def check_kept_once(rows: Iterable[Kept], acknowledged: Iterable[Push]) -> None:
    """Every acknowledged row is among the rows, and none is there twice."""
    found = Counter(row.number for row in rows)
    promised = {reading.number for push in acknowledged for reading in push.readings}
    assert {number for number, times in found.items() if times > 1} == set(), "rows are there twice"
    assert promised - found.keys() == set(), "acknowledged rows are lost"


def check_not_older(shown: Mapping[int, tuple[int, int]], acknowledged: Iterable[Push]) -> None:
    """No sensor shows a row that is older than one of its acknowledged rows."""
    for push in acknowledged:
        for row in push.readings:
            assert row.sensor in shown, f"sensor {row.sensor} is not online"
            assert shown[row.sensor][1] >= row.event, f"sensor {row.sensor} shows an older row than {row.number}"


@contextmanager
def created(folder: Path, database: Database | None = None, redis: Redis | None = None) -> Iterator[PushWorld]:
    """The production profile over these servers, or the embedded one; the metadata database goes with it."""
    profile = "embedded" if database is None else "production"
    write_readings_repo(profile, folder / "repo", database, redis)
    environment = {
        "FRESHET_FEATURE_REPO": str(folder / "repo"),
        "FRESHET_DATA_DIR": str(folder / "data"),
        "FRESHET_ONLINE_TIMEOUT": "5",  # a busy machine may take its time
    }
    if database is not None:
        environment |= {"FRESHET_DATABASE_URL": database.sqlalchemy_url, "FRESHET_AUTO_MIGRATE": "true"}
    done = run_here("apply", environment=environment)
    assert done.returncode == 0, done
    yield PushWorld(folder, environment, database)


def _micros(moment: Any) -> int:
    assert isinstance(moment, datetime)
    return to_microseconds(moment.astimezone(UTC))
