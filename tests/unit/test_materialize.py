"""Materialization over stores in memory: windows, nulls, failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from app.domain import PushOutcome, ViewSpec, to_microseconds
from app.errors import StoreUnavailableError
from app.materializing.materialize import BEGINNING, Materializer
from app.pushing.batch import RowBatch
from tests.unit.catalogs import profile

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STAMP = pa.timestamp("us", tz="UTC")


class Stores:
    """The offline store, the online store and the run log in one."""

    def __init__(self, table: pa.Table, broken: bool = False) -> None:
        self.table = table
        self.broken = broken
        self.windows: list[tuple[datetime, datetime]] = []
        self.written: list[RowBatch] = []
        self.runs: dict[str, tuple[datetime | None, datetime, str | None]] = {}
        self.recorded: list[tuple[datetime, datetime]] = []

    def newest(self, view: ViewSpec, start: datetime, end: datetime) -> pa.Table:
        self.windows.append((start, end))
        return self.table

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        if self.broken:
            raise StoreUnavailableError("down")
        self.written.append(batch)
        return [PushOutcome.APPLIED] * len(batch)

    def begin_run(
        self, project: str, kind: str, view: str, window: tuple[datetime | None, datetime], now: datetime
    ) -> str:
        self.runs[f"{len(self.runs)}"] = (*window, "running")
        return f"{len(self.runs) - 1}"

    def end_run(self, run_id: str, rows: int, now: datetime, error: str | None = None) -> None:
        start, end, _ = self.runs[run_id]
        self.runs[run_id] = (start, end, error)

    def last_success(self, project: str, kind: str, view: str) -> datetime | None:
        return max((end for _, end, error in self.runs.values() if error is None), default=None)

    def materializer(self, now: datetime = NOW) -> Materializer:
        def record(view: ViewSpec, start: datetime, end: datetime) -> None:
            self.recorded.append((start, end))

        return Materializer("lab", self, self, self, lambda: now, timedelta(hours=2), record)


def table(*rows: tuple[str | None, float | None]) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array([user for user, _ in rows], pa.string()),
            "age": pa.array([age for _, age in rows], pa.float64()),
            "name": pa.array([None] * len(rows), pa.string()),
            "event_timestamp": pa.array([NOW - DAY] * len(rows), STAMP),
            "created_timestamp": pa.array([None] * len(rows), STAMP),
        }
    )


def test_the_first_run_takes_everything_and_the_next_starts_before_the_last() -> None:
    stores = Stores(table(("a", 1.0)))
    first = stores.materializer().materialize(profile)
    assert (first.start, first.end, first.rows, first.applied) == (BEGINNING, NOW, 1, 1)
    second = stores.materializer(NOW + DAY).materialize(profile)
    assert (second.start, second.end) == (NOW - timedelta(hours=2), NOW + DAY)
    assert stores.recorded == stores.windows


def test_a_window_without_rows_leaves_no_trace() -> None:
    stores = Stores(table())
    assert stores.materializer().materialize(profile).rows == 0
    assert (stores.runs, stores.recorded) == ({}, [])
    assert stores.materializer(NOW + DAY).materialize(profile).start == BEGINNING


def test_an_end_in_the_future_is_now_so_that_later_rows_are_not_skipped() -> None:
    stores = Stores(table(("a", 1.0)))
    assert stores.materializer().materialize(profile, end=NOW + 365 * DAY).end == NOW
    assert stores.materializer(NOW + DAY).materialize(profile).start < NOW


def test_rows_without_a_key_are_left_out_and_nan_is_null() -> None:
    stores = Stores(table((None, 1.0), ("a", float("nan")), ("b", None), ("c", 2.0)))
    assert stores.materializer().materialize(profile).rows == 3
    (batch,) = stores.written
    assert batch.columns == {"user_id": ["a", "b", "c"], "age": [None, None, 2.0], "name": [None] * 3}
    assert batch.event == [to_microseconds(NOW - DAY)] * 3
    assert batch.created == [None] * 3


def test_a_failure_is_recorded_and_the_next_run_starts_where_this_one_did() -> None:
    stores = Stores(table(("a", 1.0)), broken=True)
    with pytest.raises(StoreUnavailableError):
        stores.materializer().materialize(profile)
    assert stores.runs["0"][2] == "StoreUnavailableError: down"
    assert stores.recorded == []
    stores.broken = False
    assert stores.materializer().materialize(profile).start == BEGINNING


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    stores = Stores(table(*((f"user-{number}", 1.0) for number in range(4500))))
    stores.materializer().materialize(profile, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 4500), (2000, 4500), (4000, 4500), (4500, 4500)]
