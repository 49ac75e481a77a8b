"""The rules of `user_activity`, one at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from app.errors import ConfigurationError
from ingestion.events import EVENT_SCHEMA, open_events
from ingestion.user_activity import USER_ACTIVITY_SCHEMA, compute

AS_OF = datetime(2026, 5, 4, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def event(**given: Any) -> dict[str, Any]:
    """An event an hour before AS_OF that arrived at once, but for what is `given`."""
    time = given.get("event_time", AS_OF - HOUR)
    plain = {
        "user_id": "u1",
        "session_id": "s1",
        "event_time": time,
        "arrival_time": time,
        "duration_sec": 10.0,
        "message_count": 1,
        "tool_invocations": 2,
        "model": "m",
        "tokens": 100,
    }
    return plain | given


def table(*events: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(events), schema=EVENT_SCHEMA)


def rows(*events: dict[str, Any], as_of: datetime = AS_OF, known_at: datetime | None = None) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = compute(table(*events), as_of, known_at).to_pylist()
    return result


def messages(*events: dict[str, Any], known_at: datetime | None = None) -> int:
    """Counted messages of the only user, 0 without a row."""
    return sum(row["messages_sent_7d"] for row in rows(*events, known_at=known_at))


def test_one_event_makes_this_row() -> None:
    result = compute(table(event()), AS_OF)
    assert result.schema == USER_ACTIVITY_SCHEMA
    assert result.to_pylist() == [
        {
            "user_id": "u1",
            "sessions_7d": 1,
            "avg_session_duration_sec": 10.0,
            "messages_sent_7d": 1,
            "tools_used_7d": 2,
            "preferred_model": "m",
            "total_tokens_7d": 100,
            "event_timestamp": AS_OF,
            "created": AS_OF,
        }
    ]


@pytest.mark.parametrize(
    ("event_time", "counted"),
    [
        (AS_OF - 7 * DAY - MICRO, 0),
        (AS_OF - 7 * DAY, 0),
        (AS_OF - 7 * DAY + MICRO, 1),
        (AS_OF - MICRO, 1),
        (AS_OF, 1),
        (AS_OF + MICRO, 0),
    ],
)
def test_the_window_leaves_out_its_start_and_takes_in_its_end(event_time: datetime, counted: int) -> None:
    assert messages(event(event_time=event_time), known_at=AS_OF + DAY) == counted


@pytest.mark.parametrize(("known_at", "last"), [(None, AS_OF), (AS_OF + DAY, AS_OF + DAY), (AS_OF - 2 * HOUR,) * 2])
def test_only_what_had_arrived_counts(known_at: datetime | None, last: datetime) -> None:
    early = AS_OF - 3 * HOUR
    assert messages(event(event_time=early, arrival_time=last), known_at=known_at) == 1
    assert messages(event(event_time=early, arrival_time=last + MICRO), known_at=known_at) == 0


def test_created_is_known_at_and_event_timestamp_is_as_of() -> None:
    (row,) = rows(event(), known_at=AS_OF + DAY)
    assert (row["event_timestamp"], row["created"]) == (AS_OF, AS_OF + DAY)


def test_exact_copies_count_once() -> None:
    assert messages(event(), event(), event()) == 1


def test_of_redelivered_copies_the_first_to_arrive_counts() -> None:
    first = event(message_count=1, arrival_time=AS_OF - HOUR / 2)
    second = event(message_count=5, arrival_time=AS_OF - HOUR / 3)
    assert messages(second, first) == messages(first, second) == 1


def test_every_event_of_a_session_is_deduplicated_by_itself() -> None:
    copied = [event(event_time=AS_OF - number * HOUR, arrival_time=AS_OF - HOUR / 2) for number in (1, 2)]
    again = [copy | {"arrival_time": AS_OF} for copy in copied]
    single = event(event_time=AS_OF - 3 * HOUR)
    assert messages(*copied, *again, single) == 3


def test_a_first_copy_that_arrives_in_time_beats_a_late_one() -> None:
    on_time = event(message_count=5, arrival_time=AS_OF)
    late = event(message_count=1, arrival_time=AS_OF + MICRO)
    assert messages(late, on_time) == 5


@pytest.mark.parametrize("differing", ["duration_sec", "message_count", "tool_invocations", "model", "tokens"])
def test_copies_that_arrived_together_are_chosen_by_their_values(differing: str) -> None:
    low, high, unknown = ("a", "b", None) if differing == "model" else (1, 2, None)
    copies = [event(**{differing: value}) for value in (high, unknown, low)]
    assert rows(*copies) == rows(*reversed(copies)) == rows(event(**{differing: low}))


@pytest.mark.parametrize(
    "other", [{"user_id": "u2"}, {"session_id": "s2"}, {"event_time": AS_OF - HOUR + MICRO}], ids=str
)
def test_events_that_differ_in_a_part_of_the_identity_both_count(other: dict[str, Any]) -> None:
    assert messages(event(), event(**other)) == 2


@pytest.mark.parametrize("column", ["user_id", "session_id", "event_time", "arrival_time"])
def test_a_null_in_the_identity_or_arrival_does_not_count(column: str) -> None:
    assert rows(event(**{"arrival_time": AS_OF - HOUR, column: None})) == []


@pytest.mark.parametrize("column", ["user_id", "session_id"])
def test_an_empty_user_or_session_does_not_count(column: str) -> None:
    assert rows(event(**{column: ""})) == []


def test_sessions_are_averaged_over_the_sums_of_their_events() -> None:
    (row,) = rows(
        event(duration_sec=10.0),
        event(duration_sec=20.0, event_time=AS_OF - 2 * HOUR),
        event(duration_sec=5.5, session_id="s2"),
    )
    assert row["sessions_7d"] == 2
    assert row["avg_session_duration_sec"] == (30 + 5.5) / 2


@pytest.mark.parametrize("durations", list(permutations([1e11, 0.1, -1e11])), ids=str)
def test_durations_are_added_exactly(durations: tuple[float, ...]) -> None:
    times = [AS_OF - number * HOUR for number in range(3)]
    (row,) = rows(*(event(event_time=time, duration_sec=value) for time, value in zip(times, durations, strict=True)))
    assert row["avg_session_duration_sec"] == float(np.float32(0.1))


@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf"), float("-inf"), 1e13, 1e300])
def test_an_unknown_duration_adds_nothing(unknown: float | None) -> None:
    odd = event(duration_sec=unknown, event_time=AS_OF - 2 * HOUR)
    assert rows(odd)[0]["avg_session_duration_sec"] is None
    assert rows(odd, event())[0]["avg_session_duration_sec"] == 10.0
    (row,) = rows(odd | {"session_id": "s2"}, event())
    assert (row["sessions_7d"], row["avg_session_duration_sec"]) == (2, 10.0)


def test_unknown_numbers_are_none() -> None:
    (row,) = rows(event(message_count=None, tool_invocations=None, tokens=None))
    assert (row["messages_sent_7d"], row["tools_used_7d"], row["total_tokens_7d"]) == (0, 0, 0)
    assert row["preferred_model"] == "m"


@pytest.mark.parametrize(
    ("uses", "preferred"),
    [
        ([("a", 1, 900), ("b", 2, 1)], "b"),
        ([("a", 1, 900), ("b", 2, 1), ("a", 2, 0)], "a"),
        ([("a", 2, 5), ("b", 2, 6)], "b"),
        ([("b", 2, 5), ("a", 2, 5), ("B", 2, 5)], "B"),
        ([("z", 2, 5), ("é", 2, 5)], "z"),
        ([(None, 9, 9), ("a", 0, 0)], "a"),
        ([("a", None, 5), ("b", 0, 6)], "b"),
        ([(None, 9, 9)], None),
    ],
)
def test_preferred_model_is_by_messages_then_tokens_then_name(
    uses: list[tuple[str | None, int | None, int]], preferred: str | None
) -> None:
    events = [
        event(model=model, message_count=count, tokens=tokens, event_time=AS_OF - number * HOUR)
        for number, (model, count, tokens) in enumerate(uses, start=1)
    ]
    assert rows(*events)[0]["preferred_model"] == preferred


def test_rows_are_sorted_by_user() -> None:
    users = ["u10", "u2", "U3", "é", "u1"]
    assert [row["user_id"] for row in rows(*(event(user_id=user) for user in users))] == sorted(users)


def test_no_events_make_no_rows(tmp_path: Path) -> None:
    no_file_and_no_schema = pads.dataset(str(tmp_path), format="parquet")
    for events in (EVENT_SCHEMA.empty_table(), open_events(tmp_path), no_file_and_no_schema, table(event())):
        result = compute(events, AS_OF - DAY)
        assert result.num_rows == 0
        assert result.schema == USER_ACTIVITY_SCHEMA


def test_other_tables_are_refused_with_the_faulty_columns() -> None:
    with pytest.raises(ConfigurationError, match=r"dataset of events does not hold events: column tokens .* missing"):
        compute(table(event()).drop_columns(["tokens"]), AS_OF)
