"""Times in the columns of spines: of any form, what the same value means in a push; cut off at microseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import EPOCH, to_microseconds
from app.exports.spine_times import to_moments
from app.values import EARLIEST, LATEST, ValueFault, parse_timestamp
from tests.unit.json_values import TIMES

FIRST, END = to_microseconds(EARLIEST), to_microseconds(LATEST)


def micros(array: pa.Array, written: bool = False) -> tuple[list[int | None], list[int]]:
    """Microseconds since 1970, and the places with faults."""
    moments, faults = to_moments(array, written)
    assert moments.type == pa.timestamp("us", "UTC")
    return moments.cast(pa.int64()).to_pylist(), [place for place, _ in faults]


def parsed(values: list[Any]) -> tuple[list[int | None], list[int]]:
    """The same, value by value, as a push reads it."""
    found: list[int | None] = []
    faults = []
    for place, value in enumerate(values):
        try:
            found.append(None if value is None else to_microseconds(parse_timestamp(value)))
        except ValueFault:
            found.append(None)
            faults.append(place)
    return found, faults


@given(values=st.lists(st.none() | TIMES.filter(lambda value: isinstance(value, str))))
def test_texts_mean_what_they_mean_in_a_push(values: list[str | None]) -> None:
    texts = [text if text is None or text.isascii() else "x" for text in values]
    assert micros(pa.array(texts, pa.string())) == parsed(texts)


@given(
    moments=st.lists(
        st.datetimes(EARLIEST.replace(year=1700, tzinfo=None), LATEST.replace(year=9100, tzinfo=None)), min_size=1
    ),
    form=st.sampled_from(["%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.%f123"]),
    zone=st.sampled_from(["", "Z", "+05:30", "-0700", "+01"]),
)
def test_a_column_of_one_form_of_text(moments: list[datetime], form: str, zone: str) -> None:
    # Some systems write the years before 1000 with fewer digits, but none of these.
    texts = [moment.strftime(form) + (zone if "T" in form else "") for moment in moments]
    assert micros(pa.array(texts)) == parsed(texts)
    assert micros(pa.array(texts), written=True) == parsed(texts)


@given(values=st.lists(st.none() | st.floats(-6e9, 3e11) | st.floats(allow_nan=False)))
def test_floats_are_epoch_seconds(values: list[float | None]) -> None:
    assert micros(pa.array(values, pa.float64())) == parsed(values)


@given(values=st.lists(st.none() | st.integers(-(6 * 10**9), 3 * 10**11) | st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_epoch_seconds(values: list[int | None]) -> None:
    assert micros(pa.array(values, pa.int64())) == parsed(values)
    # As texts they are the same, but for those that may be a date.
    texts = [None if value is None or len(str(value)) == 8 else str(value) for value in values]
    numbers = [None if text is None else int(text) for text in texts]
    assert micros(pa.array(texts, pa.string()), written=True) == parsed(numbers)


@given(
    ticks=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(FIRST, END)),
    unit=st.sampled_from([("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]),
    zone=st.sampled_from([None, "UTC", "Asia/Tokyo", "-03:00"]),
)
def test_timestamps_of_every_unit_and_zone(ticks: list[int | None], unit: tuple[str, int], zone: str | None) -> None:
    name, per_second = unit
    wanted: list[int | None] = []
    faults = []
    for place, tick in enumerate(ticks):
        moment = None if tick is None else tick * 10**6 // per_second
        if moment is not None and not FIRST <= moment < END:
            faults.append(place)
            moment = None
        wanted.append(moment)
    assert micros(pa.array(ticks, pa.timestamp(name, zone))) == (wanted, faults)


def test_nanoseconds_are_cut_off_towards_the_past() -> None:
    assert micros(pa.array([1_999, -1, -1_000, -1_001], pa.timestamp("ns"))) == ([1, -1, -1, -2], [])


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_dates_are_midnight(kind: pa.DataType) -> None:
    days = [datetime(2026, 1, 2, tzinfo=UTC).date(), None, datetime(1799, 12, 31, tzinfo=UTC).date()]
    assert micros(pa.array(days, kind)) == ([to_microseconds(datetime(2026, 1, 2, tzinfo=UTC)), None, None], [2])


@pytest.mark.parametrize("kind", [pa.uint64(), pa.int8(), pa.uint8(), pa.float16(), pa.float32()])
def test_small_and_unsigned_numbers(kind: pa.DataType) -> None:
    assert micros(pa.array([1, None, 2]).cast(kind)) == ([10**6, None, 2 * 10**6], [])


def test_what_is_too_large_for_any_time() -> None:
    assert micros(pa.array([2**64 - 1, 1], pa.uint64())) == ([None, 10**6], [0])
    assert micros(pa.array([float("inf"), float("-inf"), float("nan"), 1.5])) == ([None, None, None, 1_500_000], [0, 1])


def test_the_first_and_the_last_time_of_every_unit() -> None:
    for unit, per_second in (("s", 1), ("ms", 10**3), ("us", 10**6)):
        first, end = (bound // 10**6 * per_second for bound in (FIRST, END))
        found, faults = micros(pa.array([first - 1, first, end - 1, end], pa.timestamp(unit)))
        assert (found, faults) == ([None, FIRST, END - 10**6 // per_second, None], [0, 3])
    assert micros(pa.array([float(FIRST // 10**6), float(END // 10**6)])) == ([FIRST, None], [1])


def test_eight_digits_among_numbers_may_be_a_date() -> None:
    for others in (["1767322800"], ["1767322800.5"]):
        _, faults = to_moments(pa.array([*others, "20260102"]), written=True)
        assert [place for place, _ in faults] == [1]
        assert "may be a date" in faults[0][1]


def test_milliseconds_are_told_from_seconds() -> None:
    for column in (pa.array([1_767_322_800_000]), pa.array([1_767_322_800_000.5]), pa.array(["1767322800000"])):
        _, faults = to_moments(column, written=True)
        assert "not milliseconds" in faults[0][1]


def test_a_column_of_texts_of_every_kind() -> None:
    noon = to_microseconds(datetime(2026, 1, 2, 12, tzinfo=UTC))
    texts = ["2026-01-02T12:00:00Z", "2026-01-02 12:00:00", "2026-01-02T13:00:00+01:00", None, str(noon // 10**6)]
    texts += [f"{noon // 10**6}.25", "1.767355200e9", "soon", "", "nan", "20260102", "0x10"]
    found, faults = micros(pa.array(texts), written=True)
    assert found[:7] == [noon, noon, noon, None, noon, noon + 250_000, noon]
    assert faults == [7, 8, 9, 10, 11]
    # Where texts are told from numbers, a number is none.
    assert micros(pa.array(texts))[1] == [4, 5, 6, 7, 8, 9, 11]


@given(seconds=st.lists(st.floats(0, 2e9).map(lambda value: round(value, 6)), min_size=1))
def test_a_written_float_is_that_float(seconds: list[float]) -> None:
    texts = [format(value, ".6f") for value in seconds]
    found, faults = micros(pa.array(texts), written=True)
    kept = [place for place, text in enumerate(texts) if place not in faults]
    assert not faults
    assert [found[place] for place in kept] == [
        to_microseconds(EPOCH) + to_microseconds(datetime.fromtimestamp(float(texts[place]), UTC)) for place in kept
    ]
