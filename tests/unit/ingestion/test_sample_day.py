"""Sample events of a day: reproducible to the bit, and as messy as they claim to be."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingestion.events import EVENT_SCHEMA
from ingestion.sample_day import DAILY_USERS, MODELS, USERS, day_events

GOLDEN_DAY = date(2026, 5, 6)
GOLDEN_SHA256 = "4d7f6ad473903adc4a0c2ce3ce598a27031c4ad2d98385962b4b02157fecd1dc"

# Habits don't depend on the calendar, so the claims must hold for any four weeks.
STARTS = (date(2024, 2, 20), date(2026, 5, 1), date(2031, 12, 15))


def digest(events: pa.Table) -> str:
    return hashlib.sha256(repr([tuple(row.values()) for row in events.to_pylist()]).encode()).hexdigest()


def four_weeks(start: date) -> dict[date, pa.Table]:
    days = [start + timedelta(days=number) for number in range(28)]
    return {day: day_events(day) for day in days}


@pytest.fixture(scope="module", params=STARTS, ids=str)
def days(request: pytest.FixtureRequest) -> dict[date, pa.Table]:
    return four_weeks(request.param)


def identities(events: pa.Table) -> pa.Table:
    keys = ["user_id", "session_id", "event_time"]
    return events.group_by(keys).aggregate([([], "count_all"), ("arrival_time", "min"), ("arrival_time", "max")])


def test_a_day_is_what_it_has_always_been() -> None:
    """A change here changes the sample of everyone: days already on their disks no longer match new ones."""
    assert digest(day_events(GOLDEN_DAY)) == GOLDEN_SHA256


def test_a_day_does_not_depend_on_other_days() -> None:
    forward = {day: day_events(day) for day in four_weeks(STARTS[0])}
    backward = {day: day_events(day) for day in reversed(list(four_weeks(STARTS[0])))}
    assert forward == backward


def test_another_seed_gives_other_events() -> None:
    assert digest(day_events(GOLDEN_DAY, seed=1)) != digest(day_events(GOLDEN_DAY, seed=2))


def test_events_have_the_schema_and_the_size_promised(days: dict[date, pa.Table]) -> None:
    for events in days.values():
        assert events.schema == EVENT_SCHEMA
        assert 1_400 <= events.num_rows <= 4_000


def test_events_happen_on_their_day_and_arrive_after(days: dict[date, pa.Table]) -> None:
    for day, events in days.items():
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert midnight <= pc.min(events["event_time"]).as_py()
        assert pc.max(events["event_time"]).as_py() < midnight + timedelta(days=1)
        assert pc.all(pc.greater(events["arrival_time"], events["event_time"])).as_py()
        arrivals = events["arrival_time"].cast(pa.int64()).to_numpy()
        assert np.all(np.diff(arrivals) >= 0)


def test_numbers_are_plausible(days: dict[date, pa.Table]) -> None:
    events = pa.concat_tables(days.values())
    for column in ("duration_sec", "message_count", "tool_invocations", "tokens"):
        assert events[column].null_count == 0
        assert pc.min(events[column]).as_py() >= 0
        assert len(events[column].unique()) > 3
    assert pc.max(events["duration_sec"]).as_py() < 300


def test_some_events_arrive_minutes_to_two_days_late(days: dict[date, pa.Table]) -> None:
    first = identities(pa.concat_tables(days.values()))
    delay = pc.divide(pc.subtract(first["arrival_time_min"], first["event_time"]).cast(pa.int64()), 1_000_000)
    seconds = delay.to_numpy()
    assert 0.03 < np.mean(seconds > 120) < 0.08
    assert np.any(seconds > 86_400)
    assert np.max(seconds) <= 2 * 86_400
    assert np.mean(seconds <= 31) > 0.9


def test_some_events_are_delivered_twice_at_once_or_later(days: dict[date, pa.Table]) -> None:
    found = identities(pa.concat_tables(days.values()))
    copied = found.filter(pc.greater(found["count_all"], 1))
    again = pc.greater(copied["arrival_time_max"], copied["arrival_time_min"])
    assert pc.max(copied["count_all"]).as_py() == 2
    assert 0.01 < pc.sum(again).as_py() / found.num_rows < 0.02
    assert 0.01 < pc.sum(pc.invert(again)).as_py() / found.num_rows < 0.02


def test_a_few_events_lost_their_user(days: dict[date, pa.Table]) -> None:
    users = pa.concat_tables(days.values())["user_id"]
    assert 0 < users.null_count < 0.01 * len(users)


def test_users_are_those_promised_and_the_first_are_there_every_day(days: dict[date, pa.Table]) -> None:
    everyone = {f"u{number}" for number in range(1, USERS + 1)}
    for events in days.values():
        users = set(events["user_id"].drop_null().to_pylist())
        assert users <= everyone
        assert {f"u{number}" for number in range(1, DAILY_USERS + 1)} <= users


def test_some_users_fall_silent_and_others_appear(days: dict[date, pa.Table]) -> None:
    weeks = [
        {user for day in list(days)[start : start + 7] for user in days[day]["user_id"].drop_null().to_pylist()}
        for start in range(0, 28, 7)
    ]
    assert len((weeks[0] & weeks[1]) - weeks[2] - weeks[3]) >= 5
    assert len((weeks[2] & weeks[3]) - weeks[0] - weeks[1]) >= 5
    assert len(weeks[0] & weeks[1] & weeks[2] & weeks[3]) >= 150


def test_weekends_are_quieter(days: dict[date, pa.Table]) -> None:
    weekend = [events.num_rows for day, events in days.items() if day.weekday() >= 5]
    workdays = [events.num_rows for day, events in days.items() if day.weekday() < 5]
    assert np.mean(weekend) < 0.8 * np.mean(workdays)


def test_some_users_are_heavy_and_use_several_models(days: dict[date, pa.Table]) -> None:
    events = pa.concat_tables(days.values())
    events = events.filter(events["user_id"].is_valid())
    counts = np.sort(events.group_by("user_id").aggregate([([], "count_all")])["count_all"].to_numpy())
    tenth = len(counts) // 10
    assert counts[-tenth:].sum() > 0.25 * counts.sum()
    assert counts[-1] > 20 * counts[tenth]
    shares = events.group_by("model").aggregate([([], "count_all")])
    assert set(shares["model"].to_pylist()) == set(MODELS)
    assert min(shares["count_all"].to_pylist()) > 0.02 * events.num_rows
    models = events.group_by("user_id").aggregate([("model", "count_distinct")])["model_count_distinct"].to_numpy()
    assert np.mean(models > 1) > 0.5
