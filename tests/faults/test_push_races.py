"""Fifty writers that race on one entity with shuffled timestamps: after each round the newest row is there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain import PushOutcome
from tests.contract.conftest import OnlineCase, opened, row, trip
from tests.servers import RedisServer

WRITERS = 50
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture(params=["sqlite", "redis"])
def case(request: pytest.FixtureRequest, tmp_path: Path, private_redis: RedisServer) -> Iterator[OnlineCase]:
    """Either store of ours."""
    sqlite: dict[str, object] = {"type": "sqlite", "path": "data/online.db"}
    with opened(tmp_path, private_redis.online_store if request.param == "redis" else sqlite) as case:
        yield case


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(100, id="few"),
        pytest.param(1_000, id="many", marks=pytest.mark.full),  # a minute or two
    ],
)
def test_the_newest_of_fifty_racing_writers_wins(case: OnlineCase, rounds: int) -> None:
    key, dice = trip(), random.Random()

    def write(position: int) -> PushOutcome:
        (outcome,) = case.write(row(key, NOON + TICK * position, float(position)))
        return outcome

    with ThreadPoolExecutor(WRITERS) as pool:
        for first in range(0, rounds * WRITERS, WRITERS):
            positions = random_order(dice, first)
            outcomes = dict(zip(positions, pool.map(write, positions), strict=True))
            last = first + WRITERS - 1
            (found,) = case.read(key)
            assert found is not None
            assert (found.event_timestamp, found.values["fare"]) == (NOON + TICK * last, float(last)), first
            # And the writers were told so.
            assert outcomes[last] is PushOutcome.APPLIED
            assert set(outcomes.values()) <= {PushOutcome.APPLIED, PushOutcome.LATE}


def random_order(dice: random.Random, first: int) -> list[int]:
    """The positions of one round."""
    return dice.sample(range(first, first + WRITERS), WRITERS)
