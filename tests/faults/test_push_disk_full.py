"""No room on the disk under a server that takes pushes: an honest 503, nothing half-written, and all well afterwards.

The kernel itself refuses the writes: by a limit on the size of the server's files, which needs no rights and no
filesystem of its own, and which can be lifted while the server runs.
"""

from __future__ import annotations

import resource
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import pytest

from tests.faults.push_world import PushWorld, created
from tests.integration.server_process import FreshetServer

SMALL, LARGE = 300_000, 900_000
"""Bytes that a file may have, and more of them than that."""


@dataclass
class Disk:
    """A server over the embedded profile, and the room that it has."""

    world: PushWorld
    server: FreshetServer

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """No file of the server grows beyond `size` bytes inside the with block."""
        soft, hard = resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def push(self, sensor: int, value: int, note: str = "n", key: str | None = None, **options: Any) -> httpx.Response:
        """One row, whose note may be long. A second later with each value."""
        row = {"sensor_id": sensor, "value": value, "note": note, "ts": 1_763_800_000 + value}
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.server.url}/v1/push/events"
        return httpx.post(url, json={"rows": [row], **options}, headers=headers, timeout=60)

    def shown(self, sensor: int) -> Any:
        """The value online; None where there is no row."""
        return self.server.get(f"/v1/online-features/readings_v1?sensor_id={sensor}").json()["features"]["value"]

    def kept(self, sensor: int) -> list[int]:
        """The values offline, in order."""
        return sorted(row.number for row in self.world.offline() if row.sensor == sensor)

    def files(self) -> list[str]:
        """Every file in the Parquet folder, hidden ones included."""
        return sorted(path.name for path in (self.world.folder / "repo/data/readings").rglob("*"))

    def fill_wal(self) -> int:
        """Push until SQLite's log is longer than SMALL; its size then."""
        wal = self.world.folder / "repo/data/online.db-wal"
        while wal.stat().st_size < SMALL:
            assert self.push(99, 1, secrets.token_hex(10_000), to="online").status_code == 200
            assert self.push(99, 1, secrets.token_hex(10_000), to="online").status_code == 200
        return wal.stat().st_size


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """One for all tests of this file: each leaves it well, and has sensors of its own."""
    with created(tmp_path_factory.mktemp("disk")) as world, world.serving() as server:
        yield Disk(world, server)


def check_full(answer: httpx.Response, says: str) -> None:
    """A 503 that says what is the matter, and when to come back."""
    assert answer.status_code == 503, answer.text
    assert says in answer.json()["detail"], answer.text
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("key", [None, "parquet is full"])
def test_a_part_file_that_does_not_fit_leaves_nothing_of_itself(disk: Disk, key: str | None) -> None:
    sensor = 1 if key is None else 2
    assert disk.push(sensor, 1).status_code == 200
    before, large = disk.files(), secrets.token_hex(LARGE)
    with disk.room(SMALL):
        for _ in range(2):
            check_full(disk.push(sensor, 2, large, key), "the disk is full; free some space. Nothing was kept")
        assert disk.files() == before
        assert (disk.kept(sensor), disk.shown(sensor)) == ([1], 1)
        # What does fit is written all the same.
        assert disk.push(sensor, 3).status_code == 200
    assert disk.push(sensor, 2, large, key).json()["late"] == 1
    assert (disk.kept(sensor), disk.shown(sensor)) == ([1, 2, 3], 3)


@pytest.mark.parametrize("key", [None, "sqlite is full"])
def test_an_online_file_that_may_not_grow_keeps_its_rows(disk: Disk, key: str | None) -> None:
    sensor = 3 if key is None else 4
    assert disk.push(sensor, 1).status_code == 200
    with disk.room(disk.fill_wal()):
        check_full(disk.push(sensor, 2, key=key), "The rows are kept offline")
        check_full(disk.push(sensor, 3, to="online"), "The SQLite online store cannot be used")
        assert (disk.kept(sensor), disk.shown(sensor)) == ([1, 2], 1)
    again = disk.push(sensor, 2, key=key) if key else disk.push(sensor, 2, to="online")
    assert again.status_code == 200
    assert (disk.kept(sensor), disk.shown(sensor)) == ([1, 2], 2)


def test_without_any_room_nothing_is_written_and_reads_go_on(disk: Disk) -> None:
    assert disk.push(5, 1).status_code == 200
    before = disk.files()
    with disk.room(0):
        for number in range(2, 6):
            check_full(disk.push(5, number), "Nothing was kept")
            check_full(disk.push(5, number, key="no room"), "The metadata database (SQLite)")
            check_full(disk.push(5, number, to="offline"), "Nothing was kept")
            check_full(disk.push(5, number, to="online"), "The SQLite online store cannot be used")
        assert (disk.kept(5), disk.shown(5)) == ([1], 1)
        assert disk.server.get("/livez").status_code == 200
        assert disk.files() == before
    assert disk.push(5, 6, key="no room").json()["applied"] == 1
    assert (disk.kept(5), disk.shown(5)) == ([1, 6], 6)
