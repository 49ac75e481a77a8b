"""What every online store shows of itself: samples of its rows whoever wrote them, and the marks of writes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from app.domain import EPOCH, EntityKey, PushOutcome, to_microseconds
from app.freshness.ports import ViewSample, WriteMark
from tests.contract.conftest import OnlineCase, row, trip
from tests.contract.writing import WriteRow

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)

_drivers = itertools.count(50_000)


def sample(case: OnlineCase, view: str = "trips", entities: int = 10_000) -> ViewSample:
    return case.store.sample([case.views[view]], entities)[view]


def moments(found: ViewSample) -> dict[EntityKey, datetime]:
    assert len(found.keys) == len(found.moments) == len(set(found.keys))
    return {key: EPOCH + TICK * moment for key, moment in zip(found.keys, found.moments, strict=True)}


def mark(case: OnlineCase, view: str = "trips") -> WriteMark | None:
    return case.store.marks([case.views[view]]).get(view)


def driver(number: int, event: datetime) -> WriteRow:
    return WriteRow(EntityKey(("driver_id",), (number,)), {"i64": number}, event, None)


def test_a_sample_has_the_moments_that_were_written(ours: OnlineCase) -> None:
    rows = [row(trip(), NOON + TICK * 1_000_003 * number, 1.0) for number in range(300)]
    ours.write(*rows)
    found = sample(ours)
    assert found.whole
    assert {row.key: row.event_timestamp for row in rows}.items() <= moments(found).items()


def test_marks(ours: OnlineCase) -> None:
    key = trip()
    before = datetime.now(UTC)
    assert ours.write(row(key, NOON, 1.0), row(key, NOON, 1.0)) == [PushOutcome.APPLIED, PushOutcome.DUPLICATE]
    found = mark(ours)
    assert found is not None
    assert found.newest == NOON + TICK * 1_000_003 * 299
    assert found.rows == 1
    assert before <= found.last_write <= datetime.now(UTC)
