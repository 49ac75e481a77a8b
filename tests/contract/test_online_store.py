"""What every online store must do, whoever wrote its adapter: rule 2's missing rows, rule 4, every type."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.domain import EntityKey, PushOutcome
from app.stores.protos import encode_key
from app.values import parse
from tests.contract.conftest import OnlineCase, row, trip
from tests.contract.writing import WriteRow
from tests.repos.everything import ROW

APPLIED, LATE, DUPLICATE = PushOutcome.APPLIED, PushOutcome.LATE, PushOutcome.DUPLICATE
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)

_drivers = itertools.count(10_000)


def fare(case: OnlineCase, key: EntityKey) -> tuple[datetime, Any]:
    (found,) = case.read(key)
    assert found is not None
    return found.event_timestamp, found.values["fare"]


def test_an_entity_without_a_row_is_none(online: OnlineCase) -> None:
    assert online.read(trip(), trip()) == [None, None]


def test_rows_come_back_in_the_order_of_the_keys(online: OnlineCase) -> None:
    keys = [trip() for _ in range(5)]
    online.write(*(row(key, NOON, float(number)) for number, key in enumerate(keys)))
    found = online.read(keys[3], trip(), keys[0], keys[3])
    assert [entry and entry.values["fare"] for entry in found] == [3.0, None, 0.0, 3.0]


def test_every_type_survives(online: OnlineCase) -> None:
    view = online.views["drivers"]
    values = {field.name: parse(ROW[field.name], field.dtype) for field in view.features}
    key = EntityKey(("driver_id",), (next(_drivers),))
    online.write(WriteRow(key, values, NOON, None), view="drivers")
    (found,) = online.read(key, view="drivers")
    assert found is not None
    assert found.event_timestamp == NOON
    assert dict(found.values) == values


def test_every_type_survives_in_a_batch_with_nulls_among_them(online: OnlineCase) -> None:
    view = online.views["drivers"]
    full = {field.name: parse(ROW[field.name], field.dtype) for field in view.features}
    names = list(full)
    rows = []
    for number in range(40):
        values = {**full, "i64": number - 20, "i32": -number, "f64": number / 3, names[number % len(names)]: None}
        rows.append(WriteRow(EntityKey(("driver_id",), (next(_drivers),)), values, NOON + TICK * number * 7, None))
    assert online.write(*rows, view="drivers") == [APPLIED] * 40
    found = online.read(*(entry.key for entry in rows), view="drivers")
    assert [entry and dict(entry.values) for entry in found] == [entry.values for entry in rows]


def test_null_is_not_missing(online: OnlineCase) -> None:
    key = trip()
    online.write(row(key, NOON, None))
    assert fare(online, key) == (NOON, None)


def test_composite_keys_do_not_run_together(online: OnlineCase) -> None:
    one, other = trip("23", driver=1), trip("3", driver=12)
    online.write(row(one, NOON, 1.0), row(other, NOON, 2.0))
    assert (fare(online, one)[1], fare(online, other)[1]) == (1.0, 2.0)


def test_the_newest_event_wins_whatever_the_order(online: OnlineCase) -> None:
    key = trip()
    assert online.write(row(key, NOON, 1.0)) == [APPLIED]
    assert online.write(row(key, NOON - SECOND, 2.0)) == [LATE]
    assert fare(online, key) == (NOON, 1.0)
    assert online.write(row(key, NOON + SECOND, 3.0)) == [APPLIED]
    assert fare(online, key) == (NOON + SECOND, 3.0)


def test_a_correction_is_applied_and_a_repetition_is_a_duplicate(online: OnlineCase) -> None:
    key = trip()
    assert online.write(row(key, NOON, 1.0), row(key, NOON, 2.0), row(key, NOON, 2.0)) == [APPLIED, APPLIED, DUPLICATE]
    assert fare(online, key) == (NOON, 2.0)


def test_one_batch_may_hold_one_entity_in_any_order(online: OnlineCase) -> None:
    key = trip()
    rows = [row(key, NOON + SECOND * step, float(step)) for step in (3, 1, 5, 2, 4)]
    assert online.write(*rows) == [APPLIED, LATE, APPLIED, LATE, LATE]
    assert fare(online, key) == (NOON + SECOND * 5, 5.0)


def test_batches_larger_than_one_script_keep_their_order(online: OnlineCase) -> None:
    keys = [trip() for _ in range(250)]
    assert online.write(*(row(key, NOON, float(number)) for number, key in enumerate(keys))) == [APPLIED] * 250
    outcomes = online.write(*(row(key, NOON + SECOND * (-1) ** number, 0.0) for number, key in enumerate(keys)))
    assert outcomes == [APPLIED, LATE] * 125


def test_a_batch_decides_row_by_row_as_if_each_came_alone(ours: OnlineCase) -> None:
    """1,000 rows of 40 entities in any order of time, with repetitions and corrections, after some of them before."""
    random = Random(4)
    keys = [trip() for _ in range(40)]
    rows = [
        row(random.choice(keys), NOON + SECOND * random.randrange(6), float(random.randrange(3)), NOON)
        for _ in range(1100)
    ]
    stored: dict[EntityKey, WriteRow] = {}
    outcomes = []
    for entry in rows:
        before = stored.get(entry.key)
        if before is None or entry.event_timestamp > before.event_timestamp:
            outcomes.append(APPLIED)
        elif entry.event_timestamp < before.event_timestamp:
            outcomes.append(LATE)
        else:
            outcomes.append(DUPLICATE if entry.values == before.values else APPLIED)
        if outcomes[-1] is APPLIED:
            stored[entry.key] = entry
    assert ours.write(*rows[:100]) + ours.write(*rows[100:]) == outcomes
    assert set(outcomes) == {APPLIED, LATE, DUPLICATE}
    for key, entry in stored.items():
        assert fare(ours, key) == (entry.event_timestamp, entry.values["fare"])


def test_what_feasts_own_code_writes_may_have_other_features_in_each_row(ours: OnlineCase) -> None:
    """Through Feast's interface, as its materialize and its push write."""
    one, other = trip(), trip()
    table = ours.repo.store.get_feature_view("trips")
    store, config = ours.repo.store.provider.online_store, ours.repo.store.config
    values = {"fare": Value(double_val=1.5), "name": Value(string_val="n")}
    written: list[int] = []
    data = [
        (encode_key(one, ["INT64", "STRING"]), values, NOON.replace(tzinfo=None), None),
        (encode_key(other, ["INT64", "STRING"]), {"fare": values["fare"]}, NOON, NOON),
        (encode_key(one, ["INT64", "STRING"]), {"name": Value(string_val="m")}, NOON + SECOND, None),
        (encode_key(one, ["INT64", "STRING"]), {"name": Value(string_val="late")}, NOON, None),
    ]
    store.online_write_batch(config, table, data, written.append)
    assert written == [4]
    found = ours.read(one, other)
    assert [entry and dict(entry.values) for entry in found] == [
        {"fare": 1.5, "name": "m"},
        {"fare": 1.5, "name": None},
    ]
    assert found[0] is not None
    assert found[0].event_timestamp == NOON + SECOND


def test_events_before_1970_compare_as_well(online: OnlineCase) -> None:
    key, long_ago = trip(), datetime(1931, 5, 6, 7, 8, 9, tzinfo=UTC)
    online.write(row(key, long_ago, 1.0))
    assert online.write(row(key, long_ago - SECOND, 2.0)) == [LATE]
    assert online.write(row(key, long_ago + SECOND, 3.0)) == [APPLIED]
    assert fare(online, key) == (long_ago + SECOND, 3.0)


def test_microseconds_decide(ours: OnlineCase) -> None:
    key = trip()
    late = NOON + TICK * 999_999
    assert ours.write(row(key, late, 1.0)) == [APPLIED]
    assert ours.write(row(key, late - TICK, 2.0)) == [LATE]
    assert ours.write(row(key, late + TICK, 3.0)) == [APPLIED]
    assert fare(ours, key) == (late + TICK, 3.0)


@pytest.mark.parametrize(
    ("stored", "incoming", "outcome"),
    [
        (SECOND, SECOND * 2, APPLIED),
        (SECOND * 2, SECOND, LATE),
        (SECOND + TICK, SECOND, LATE),
        (None, SECOND, APPLIED),
        (SECOND, None, LATE),
        (SECOND, SECOND, APPLIED),  # same times, another value: a correction
    ],
)
def test_equal_events_are_decided_by_the_created_timestamp(
    ours: OnlineCase, stored: timedelta | None, incoming: timedelta | None, outcome: PushOutcome
) -> None:
    key = trip()
    ours.write(row(key, NOON, 1.0, NOON + stored if stored else None))
    assert ours.write(row(key, NOON, 2.0, NOON + incoming if incoming else None)) == [outcome]
    assert fare(ours, key)[1] == (2.0 if outcome is APPLIED else 1.0)


_EPOCH = datetime.fromtimestamp(0, UTC)
# Around the lengths that seconds and nanos have as bytes, and negative ones.
odd_moments = st.builds(
    lambda seconds, micros: _EPOCH + SECOND * seconds + TICK * micros,
    st.sampled_from([-(10**9), -1, 0, 1, 127, 128, 2**28 - 1, 2**28, 2**31, 2**35 - 1, 2**35]),
    st.sampled_from([0, 1, 16, 17, 2_097, 2_098, 268_435, 268_436, 999_999]),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=odd_moments, second=odd_moments, by_created=st.booleans())
@example(first=_EPOCH, second=_EPOCH, by_created=False)
@example(first=_EPOCH - SECOND, second=_EPOCH, by_created=True)
@example(first=_EPOCH + TICK, second=_EPOCH + TICK, by_created=True)
def test_moments_of_every_length_compare(ours: OnlineCase, first: datetime, second: datetime, by_created: bool) -> None:
    key = trip()
    times = [(NOON, moment) if by_created else (moment, NOON) for moment in (first, second)]
    wanted = DUPLICATE if first == second else APPLIED if second > first else LATE
    assert ours.write(*(row(key, event, 1.0, created) for event, created in times)) == [APPLIED, wanted]


moments = st.integers(0, 3).map(lambda step: NOON + SECOND * step)
writes = st.lists(st.tuples(moments, st.none() | moments, st.integers(0, 2)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=writes, split=st.integers(0, 12))
def test_any_order_of_writes_ends_with_the_newest(
    ours: OnlineCase, writes: list[tuple[datetime, datetime | None, int]], split: int
) -> None:
    key = trip()
    rows = [row(key, event, float(value), created) for event, created, value in writes]
    if rows[:split]:
        ours.write(*rows[:split])
    if rows[split:]:
        ours.write(*rows[split:])
    beginning = datetime.min.replace(tzinfo=UTC)
    # Equal times: the last written one.
    newest = max(
        enumerate(rows), key=lambda item: (item[1].event_timestamp, item[1].created_timestamp or beginning, item[0])
    )
    assert fare(ours, key) == (newest[1].event_timestamp, newest[1].values["fare"])


def test_racing_writers_leave_the_newest(ours: OnlineCase) -> None:
    for round_number in range(5):
        key, barrier = trip(), threading.Barrier(8)

        def race(writer: int, key: EntityKey = key, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            for step in range(25):
                position = (step * 7 + writer * 11) % 200
                ours.write(row(key, NOON + TICK * position, float(position)))

        threads = [threading.Thread(target=race, args=(writer,)) for writer in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        highest = max((step * 7 + writer * 11) % 200 for step in range(25) for writer in range(8))
        assert fare(ours, key) == (NOON + TICK * highest, float(highest)), round_number


def test_ping_answers(online: OnlineCase) -> None:
    online.store.ping()
