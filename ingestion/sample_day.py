"""Sample events of one calendar day: invented, reproducible, and as messy as real ones.

Only uniform draws, + - * / and floor are used. They give the same bits on every machine and under every numpy, unlike
numpy's distributions and logarithms, so that a day is the same day wherever it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.events import EVENT_SCHEMA

SEED = 20260101
"""The seed of the bundled sample: another one gives other users with other habits."""

USERS = 500
"""Users are u1..u500."""

DAILY_USERS = 20
"""u1..u20 are there every day."""

MODELS = ("heron-large", "heron-mini", "plover-2", "plover-code", "wren-nano")

_RHYTHM = (0.95, 1.05, 1.1, 1.0, 0.85, 0.55, 0.5)  # Monday to Sunday
_MICROS = 1_000_000  # microseconds in a second
_TWO_DAYS = 2 * 86_400

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Users:
    """Habits of the users, one array item each."""

    weight: Floats
    """How much they use the assistant: 0.3 (light) to 4.3 (heavy), few of them heavy."""
    home_model: Ints
    """Index of the model they mostly use."""
    present_days: Ints
    """Length of a stretch of days on which they may show up."""
    absent_days: Ints
    """Length of the silence after it; 0 for users who never leave.

    At least 36 days. So in 28 days of sample a user who leaves is gone for good, and one who appears is new, whatever
    days those are; months of sample see the same id come back.
    """
    phase: Ints
    """Day of the cycle on day 0 of the calendar."""


def day_events(day: date, seed: int = SEED) -> pa.Table:
    """Every delivery of an event that happened on `day` (UTC), as EVENT_SCHEMA, in order of arrival.

    A pure function of its arguments. About 1,500 (weekend) to 3,500 rows, copies included. Some arrive up to two days
    late, and copies of those later still, so that arrival times reach into the days after `day`.
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, day.toordinal()])))
    users = _users(seed)
    owner, number = _sessions(random, users, day)
    size = 1 + _floor(13 * _low(random, owner.size))
    strays = random.random(owner.size) < 0.2
    model = np.where(strays, _floor(len(MODELS) * random.random(owner.size)), users.home_model[owner])

    session = np.repeat(np.arange(owner.size), size)
    events = session.size
    event_time = _event_times(random, day, size)
    messages = _floor(4 * random.random(events))
    tools = _floor(5 * _low(random, events))
    columns = {
        "user_id": _user_ids(random, owner[session]),
        "session_id": pc.binary_join_element_wise(
            day.isoformat(), _texts("u", owner + 1), pa.array(number).cast(pa.string()), "-"
        ).take(pa.array(session)),
        "event_time": pa.array(event_time),
        "arrival_time": pa.array(_arrival_times(random, event_time)),
        "duration_sec": pa.array((1_000 + _floor(240_000 * _low(random, events))) / 1_000),
        "message_count": pa.array(messages),
        "tool_invocations": pa.array(tools),
        "model": pa.array(MODELS).take(pa.array(model[session])),
        "tokens": pa.array(messages * (80 + _floor(900 * _low(random, events))) + 40 * tools),
    }
    return _delivered(random, pa.table([columns[name] for name in EVENT_SCHEMA.names], EVENT_SCHEMA.names))


def _users(seed: int) -> _Users:
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0])))  # no day is ordinal 0
    come_and_go = random.random(USERS) < 0.4
    present_days = 40 + _floor(40 * random.random(USERS))
    absent_days = np.where(come_and_go, 36 + _floor(25 * random.random(USERS)), 0)
    return _Users(
        weight=0.3 / (1 - 0.93 * random.random(USERS)),
        home_model=_floor(len(MODELS) * _low(random, USERS)),
        present_days=present_days,
        absent_days=absent_days,
        phase=_floor((present_days + absent_days) * random.random(USERS)),
    )


def _sessions(random: np.random.Generator, users: _Users, day: date) -> tuple[Ints, Ints]:
    """Per session of `day`: the index of its user, and its number among that user's sessions of the day, from 1."""
    cycle = users.present_days + users.absent_days
    present = (day.toordinal() + users.phase) % cycle < users.present_days
    mood = random.random(USERS) < users.weight * _RHYTHM[day.weekday()] * 0.8
    active = (present & mood) | (np.arange(USERS) < DAILY_USERS)
    sessions = np.where(active, 1 + _floor(3 * users.weight * random.random(USERS)), 0)
    return np.repeat(np.arange(USERS), sessions), 1 + _positions(sessions)


def _event_times(random: np.random.Generator, day: date, size: Ints) -> Ints:
    """Microseconds since 1970 of every event; sessions start from 06:00 to 22:00 and last 50 minutes at most."""
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * _MICROS
    hours = 6 + 8 * (random.random(size.size) + random.random(size.size))
    gaps = _floor((5 + 240 * _low(random, int(size.sum()))) * _MICROS)
    elapsed = np.cumsum(gaps)
    first = np.cumsum(size) - size
    return midnight + np.repeat(_floor(hours * 3_600 * _MICROS) - elapsed[first], size) + elapsed


def _arrival_times(random: np.random.Generator, event_time: Ints) -> Ints:
    """Most events arrive within half a minute, one in twenty minutes to two days late."""
    usual = 0.2 + 30 * _low(random, event_time.size)
    late = 120 + (_TWO_DAYS - 120) * _low(random, event_time.size)
    return event_time + _floor(np.where(random.random(event_time.size) < 0.05, late, usual) * _MICROS)


def _user_ids(random: np.random.Generator, owner: Ints) -> pa.Array:
    """u1, u2...; one in 500 events lost its user (never a daily one), as clients with an expired login send them."""
    lost = (random.random(owner.size) < 0.002) & (owner >= DAILY_USERS)
    return pc.if_else(pa.array(lost), None, _texts("u", owner + 1))


def _delivered(random: np.random.Generator, events: pa.Table) -> pa.Table:
    """`events` plus copies of 1.5 % as they are and of 1.5 % redelivered later, sorted by arrival and typed."""
    lot = random.random(events.num_rows)
    copies = np.flatnonzero(lot < 0.03)
    delay = _floor(np.where(lot[copies] < 0.015, 0, 60 + 21_600 * _low(random, copies.size)) * _MICROS)
    every = np.concatenate([np.arange(events.num_rows), copies])
    arrival = events["arrival_time"].to_numpy()[every] + np.concatenate([np.zeros(events.num_rows, np.int64), delay])
    delivered = events.take(pa.array(every))
    delivered = delivered.set_column(EVENT_SCHEMA.names.index("arrival_time"), "arrival_time", pa.array(arrival))
    return delivered.take(pa.array(np.argsort(arrival, kind="stable"))).cast(EVENT_SCHEMA).combine_chunks()


def _low(random: np.random.Generator, size: int) -> Floats:
    """Draws from 0 to 1 that lean towards 0."""
    draws = random.random(size)
    return draws * draws


def _floor(values: Floats) -> Ints:
    return np.floor(values).astype(np.int64)


def _positions(sizes: Ints) -> Ints:
    """0, 1, ... n-1 for each n of `sizes`, one after the other."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _texts(prefix: str, numbers: Ints) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")
