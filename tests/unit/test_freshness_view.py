"""The rules of freshness: what a look at a view shows, and what is to be said of it."""

from __future__ import annotations

import statistics
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import EntityKey, to_microseconds
from app.freshness.board import FreshnessBoard, monitored
from app.freshness.finding import EntityAges, Finding, nearest_rank, observe
from app.freshness.ports import ViewSample, WriteMark
from app.freshness.snapshot import FreshnessSnapshot
from app.freshness.view import FreshnessStatus, judge
from tests.unit.catalogs import catalog, profile

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SKEW = timedelta(minutes=5)
HOUR = timedelta(hours=1)
WATCHED = replace(profile, tags={"freshness_sla": "1h", "freshness_warn": "30m"})

durations = st.timedeltas(timedelta(microseconds=1), timedelta(days=400))
moments = st.datetimes(NOW.replace(tzinfo=None, year=2025), NOW.replace(tzinfo=None, year=2028), timezones=st.just(UTC))


def sampled(*ages: timedelta, whole: bool = False) -> ViewSample:
    """Entities of these ages at NOW."""
    return ViewSample(
        [EntityKey(("user_id",), (f"u{number}",)) for number in range(len(ages))],
        [to_microseconds(NOW - age) for age in ages],
        whole,
    )


def marked(age: timedelta) -> WriteMark:
    """Rows up to this age at NOW."""
    return WriteMark(NOW - age, NOW, 7)


def look(
    sample: ViewSample | None = None,
    mark: WriteMark | None = None,
    watermark: datetime | None = None,
    before: Finding | None = None,
) -> Finding:
    """What a look at NOW shows of a view with an SLA of an hour."""
    return observe(sample, mark, watermark, HOUR, before, NOW, SKEW)


def status(found: Finding | None, now: datetime = NOW) -> FreshnessStatus:
    return judge(WATCHED, found, now, now).status


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), "fresh"),
        (timedelta(minutes=30) - timedelta(microseconds=1), "fresh"),
        (timedelta(minutes=30), "warn"),
        (HOUR, "warn"),
        (HOUR + timedelta(microseconds=1), "stale"),
    ],
)
def test_the_bounds_of_each_status(age: timedelta, expected: str) -> None:
    assert status(look(sampled(age))) == expected


def test_a_finding_ages_by_itself() -> None:
    found = look(sampled(timedelta(0)))

    assert [status(found, NOW + timedelta(minutes=minutes)) for minutes in (0, 31, 61)] == ["fresh", "warn", "stale"]
    assert judge(WATCHED, found, NOW, NOW + HOUR).staleness == HOUR
    # Another machine's clock is ahead of ours.
    assert judge(WATCHED, found, NOW, NOW - HOUR).staleness == timedelta(0)


@given(
    ages=st.lists(st.timedeltas(timedelta(days=-2), timedelta(days=100)), max_size=20),
    mark=st.none() | st.timedeltas(timedelta(days=-2), timedelta(days=100)),
    watermark=st.none() | st.timedeltas(timedelta(0), timedelta(days=100)),
)
def test_the_newest_of_all_that_counts_decides(
    ages: list[timedelta], mark: timedelta | None, watermark: timedelta | None
) -> None:
    found = look(sampled(*ages), None if mark is None else marked(mark), None if watermark is None else NOW - watermark)
    counted = [max(age, timedelta(0)) for age in ages if age >= -SKEW]
    known = counted + ([] if mark is None else [max(mark, timedelta(0))])
    if not ages and mark is None:
        assert status(found) == "never"
        return
    if watermark is not None:
        known.append(watermark)
    staleness = min(known, default=None)
    judged = judge(WATCHED, found, NOW, NOW)
    assert judged.staleness == staleness
    assert (judged.status == "stale") == (staleness is None or staleness > HOUR) == judged.breached
    assert (judged.status == "fresh") == (staleness is not None and staleness < timedelta(minutes=30))
    assert (found.sampled, found.future) == (len(ages), len(ages) - len(counted))
    assert found.beyond_sla == sum(age > HOUR for age in counted)


@given(numbers=st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=300), percent=st.integers(1, 100))
def test_a_quantile_is_the_value_of_nearest_rank(numbers: list[int], percent: int) -> None:
    ordered = sorted(numbers)
    found = nearest_rank(ordered, percent)

    def share(limit: int) -> int:
        return 100 * sum(number <= limit for number in ordered)

    assert found in ordered
    assert share(found) >= percent * len(ordered)
    assert all(share(number) < percent * len(ordered) for number in ordered if number < found)


def test_ages_of_the_entities() -> None:
    seconds = range(1, 101)
    found = look(sampled(*(timedelta(seconds=second) for second in seconds)))

    assert found.ages == EntityAges(50.0, 95.0, 100.0)
    assert found.ages.p50 == statistics.median_low(seconds)
    assert look(sampled(-timedelta(minutes=4))).ages == EntityAges(0.0, 0.0, 0.0)
    assert look(sampled(-timedelta(minutes=6))).ages is None


def test_events_of_the_future_count_for_nothing_but_their_number() -> None:
    found = look(sampled(timedelta(days=-1)))

    assert (found.has_rows, found.newest, found.future) == (True, None, 1)
    assert status(found) == "stale"
    assert judge(WATCHED, found, NOW, NOW).staleness is None
    assert status(look(sampled(timedelta(days=-1), timedelta(minutes=40)))) == "warn"
    # A writer of ours would have refused it; a mark is never ahead.
    assert look(sampled(), marked(timedelta(days=-1))).newest == NOW


def test_a_watermark_makes_an_idle_source_fresh_and_an_empty_one_not() -> None:
    assert status(look(sampled(timedelta(hours=5)), watermark=NOW)) == "fresh"
    assert status(look(sampled(whole=True), watermark=NOW)) == "never"
    assert status(look(None, watermark=NOW)) == "unknown"


def test_a_store_that_was_flushed_has_no_rows_whatever_was_known() -> None:
    before = look(sampled(timedelta(minutes=1)), marked(timedelta(0)))

    assert status(look(sampled(whole=True), before=before)) == "never"
    assert status(look(sampled(whole=True), marked(timedelta(0)), before=before)) == "never"


def test_what_was_met_once_holds_until_the_store_was_looked_through() -> None:
    before = look(sampled(timedelta(minutes=10)))

    assert look(sampled(timedelta(hours=3)), before=before).newest == NOW - timedelta(minutes=10)
    assert look(sampled(), before=before).newest == NOW - timedelta(minutes=10)
    assert look(sampled(timedelta(hours=3), whole=True), before=before).newest == NOW - timedelta(hours=3)


def test_a_store_that_cannot_be_looked_into() -> None:
    assert status(look(None)) == "unknown"
    assert status(look(None, marked(timedelta(minutes=40)))) == "warn"
    assert status(None) == "unknown"
    found = look(None, marked(HOUR))
    assert (found.sampled, found.beyond_sla, found.last_write, found.last_write_rows) == (None, None, NOW, 7)


def test_a_view_without_an_sla_is_unmonitored_and_its_age_is_told() -> None:
    found = look(sampled(timedelta(days=30)))

    assert judge(profile, found, NOW, NOW).status == "unmonitored"
    assert judge(profile, found, NOW, NOW).staleness == timedelta(days=30)
    assert judge(profile, None, None, NOW).status == "unmonitored"
    broken = judge(replace(profile, tags={"freshness_sla": "dayly"}), found, NOW, NOW)
    assert broken.status == "unknown"
    assert "dayly" in (broken.sla.fault or "")
    assert not broken.breached


findings = st.builds(
    Finding,
    has_rows=st.none() | st.booleans(),
    newest=st.none() | moments,
    watermark=st.none() | moments,
    last_write=st.none() | moments,
    last_write_rows=st.none() | st.integers(0, 10**9),
    sampled=st.none() | st.integers(0, 10**5),
    future=st.integers(0, 10**5),
    ages=st.none() | st.builds(EntityAges, *[st.floats(0, 10**9)] * 3),
    beyond_sla=st.none() | st.integers(0, 10**5),
)


@given(st.builds(FreshnessSnapshot, moments, durations, durations, st.dictionaries(st.text(min_size=1), findings)))
def test_a_snapshot_survives_json(snapshot: FreshnessSnapshot) -> None:
    assert FreshnessSnapshot.from_json({**snapshot.to_json(), "new": "in a later version"}) == snapshot


@pytest.mark.parametrize("body", [{}, {"taken_at": 1}, {"taken_at": NOW.isoformat(), "views": []}])
def test_another_form_of_snapshot_is_told(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="another form"):
        FreshnessSnapshot.from_json(body)


def test_the_board_sorts_the_worst_first_and_knows_no_pinned_version() -> None:
    names = {"aged": 50, "older": 55, "good": 1, "broken": 90, "worse": 600}
    views = [replace(WATCHED, name=name) for name in [*names, "empty", "new"]] + [replace(profile, name="free")]
    found = {name: look(sampled(timedelta(minutes=minutes))) for name, minutes in names.items()}
    board = FreshnessBoard(lambda: NOW, timedelta(seconds=30))
    board.snapshot = FreshnessSnapshot(
        NOW, board.interval, timedelta(0), {**found, "empty": look(sampled(whole=True)), "gone": look(sampled())}
    )

    shown = [(state.view.name, state.status.value) for state in board.all(views)]

    assert shown == [
        ("worse", "stale"),
        ("broken", "stale"),
        ("empty", "never"),
        ("new", "unknown"),
        ("older", "warn"),
        ("aged", "warn"),
        ("good", "fresh"),
        ("free", "unmonitored"),
    ]
    assert board.of(replace(WATCHED, name="good", pinned=1)).status == "unknown"


def test_only_what_may_be_read_online_is_monitored() -> None:
    views = (profile, replace(profile, name="offline", online=False), replace(profile, name="off", enabled=False))

    assert [view.name for view in monitored(catalog(views=views))] == ["profile"]
