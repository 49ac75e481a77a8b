"""`compute` against the same rules in plain Python, and properties that hold for any events."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.events import EVENT_SCHEMA
from ingestion.user_activity import USER_ACTIVITY_SCHEMA, compute

AS_OF = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # the clocks of Europe change in this night
MICRO = timedelta(microseconds=1)
WEEK = timedelta(days=7)

Row = dict[str, Any]


def _mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Odd values now and then: were every column odd half of the time, hardly an event would count."""
    return st.integers(0, 9).flatmap(lambda number: odd if number == 9 else usual)


_event_times = st.sampled_from([None, AS_OF - WEEK - MICRO, AS_OF - WEEK, AS_OF - MICRO, AS_OF + MICRO])
_arrival_times = st.sampled_from([None, AS_OF - WEEK, AS_OF + MICRO, AS_OF + WEEK])
_numbers = st.none() | st.integers(0, 3)
_event = st.fixed_dictionaries(
    {
        "user_id": _mostly(st.sampled_from(["u1", "u2", "U1"]), st.sampled_from(["", None])),
        "session_id": _mostly(st.sampled_from(["s1", "s2"]), st.sampled_from(["", None])),
        "event_time": _mostly(st.sampled_from([AS_OF - WEEK + MICRO, AS_OF - WEEK / 2, AS_OF]), _event_times),
        "arrival_time": _mostly(st.sampled_from([AS_OF - MICRO, AS_OF]), _arrival_times),
        "duration_sec": st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, 0.1, 0.125, 7.3, 86400.000001]),
        "message_count": _numbers,
        "tool_invocations": _numbers,
        "model": st.sampled_from([None, "", "a", "b", "B"]),
        "tokens": _numbers,
    }
)
# Hypothesis' lists are short, and it takes many events to make copies and ties.
_events = st.lists(_event, max_size=4) | st.lists(_event, min_size=20, max_size=40)
_known_at = st.sampled_from([None, AS_OF - WEEK, AS_OF - MICRO, AS_OF, AS_OF + WEEK])

thorough = settings(max_examples=120, deadline=None, database=None)
quick = settings(thorough, max_examples=30)


def oracle(events: list[Row], as_of: datetime, known_at: datetime | None) -> list[Row]:
    known = known_at or as_of
    first: dict[tuple[Any, ...], Row] = {}
    for event in sorted(filter(lambda event: _counts(event, as_of, known), events), key=_arrival_order):
        first.setdefault((event["user_id"], event["session_id"], event["event_time"]), event)
    users: dict[str, list[Row]] = defaultdict(list)
    for event in first.values():
        users[event["user_id"]].append(event)
    return [
        _features(users[user]) | {"user_id": user, "event_timestamp": as_of, "created": known} for user in sorted(users)
    ]


def _counts(event: Row, as_of: datetime, known: datetime) -> bool:
    if not event["user_id"] or not event["session_id"] or event["event_time"] is None:
        return False
    if event["arrival_time"] is None or event["arrival_time"] > known:
        return False
    return bool(as_of - WEEK < event["event_time"] <= as_of)


def _arrival_order(event: Row) -> list[Any]:
    """First by arrival; then by each value, with NaN after every number and null after everything."""
    values = (event[name] for name in ("duration_sec", "message_count", "tool_invocations", "model", "tokens"))
    keys: list[Any] = [event["arrival_time"]]
    for value in values:
        if value is None:
            keys.append((2,))
        elif isinstance(value, float) and math.isnan(value):
            keys.append((1,))
        else:
            keys.append((0, value))
    return keys


def _features(events: list[Row]) -> Row:
    sessions: dict[str, list[Fraction]] = defaultdict(list)
    models: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for event in events:
        durations = sessions[event["session_id"]]
        if event["duration_sec"] is not None and math.isfinite(event["duration_sec"]):
            durations.append(Fraction(round(event["duration_sec"] * 1_000_000), 1_000_000))
        if event["model"] is not None:
            models[event["model"]][0] += event["message_count"] or 0
            models[event["model"]][1] += event["tokens"] or 0
    sums = [sum(durations, Fraction(0)) for durations in sessions.values() if durations]
    return {
        "sessions_7d": len(sessions),
        "avg_session_duration_sec": float(np.float32(float(sum(sums)) / len(sums))) if sums else None,
        "messages_sent_7d": sum(event["message_count"] or 0 for event in events),
        "tools_used_7d": sum(event["tool_invocations"] or 0 for event in events),
        "preferred_model": min(models, key=lambda name: (-models[name][0], -models[name][1], name), default=None),
        "total_tokens_7d": sum(event["tokens"] or 0 for event in events),
    }


def table(events: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(events, schema=EVENT_SCHEMA)


@thorough
@given(_events, _known_at)
def test_compute_does_what_plain_python_does(events: list[Row], known_at: datetime | None) -> None:
    result = compute(table(events), AS_OF, known_at)
    assert result.schema == USER_ACTIVITY_SCHEMA
    assert result.to_pylist() == oracle(events, AS_OF, known_at)


@quick
@given(_events, _known_at)
def test_the_order_of_events_does_not_matter(events: list[Row], known_at: datetime | None) -> None:
    copies = [
        event | {"arrival_time": AS_OF, "user_id": "u1", "session_id": "s1", "event_time": AS_OF} for event in events
    ]
    backwards = [*reversed(events), *reversed(copies)]
    assert compute(table(backwards), AS_OF, known_at) == compute(table(events + copies), AS_OF, known_at)


@quick
@given(_events, _events)
def test_what_arrives_later_changes_nothing_that_was_known(events: list[Row], later: list[Row]) -> None:
    arrived = [event | {"arrival_time": AS_OF + MICRO} for event in later]
    assert compute(table(events + arrived), AS_OF) == compute(table(events), AS_OF)


@quick
@given(_events)
def test_delivering_everything_again_changes_nothing(events: list[Row]) -> None:
    known = [event for event in events if event["arrival_time"] is not None and event["arrival_time"] <= AS_OF]
    again = [
        event | {"arrival_time": event["arrival_time"] + timedelta(hours=1), "message_count": 9} for event in known
    ]
    assert compute(table(again + known), AS_OF, AS_OF + WEEK) == compute(table(known), AS_OF, AS_OF + WEEK)
