"""Columns of times, in any of the forms that come in files, made UTC microseconds: what app.values.parse_timestamp
makes of each value, a column at a time. More digits are cut off towards the past, as those of a text are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from app.domain import to_microseconds
from app.exports.spine_faults import Fault
from app.exports.spine_types import UTC_MICROS, cast_or_none
from app.values import EARLIEST, LATEST, RangeFault, ValueFault, parse_timestamp

_FIRST, _END = to_microseconds(EARLIEST), to_microseconds(LATEST)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_TEXT_FORMS = (UTC_MICROS, pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.timestamp("ns"))
"""Tried in turn: no text with a zone is read as one without, nor the other way round."""
_NUMBER = re.compile(r"([+-]?\d{1,18})(\.\d*)?([eE][+-]?\d{1,2})?", re.ASCII)
_OUT_OF_RANGE = "expected a time between the years 1800 and 9000"
_IN_SECONDS = f"{_OUT_OF_RANGE}; numbers are epoch seconds, not milliseconds"

Moments = tuple[pa.Array, Sequence[Fault]]
"""Times as UTC microseconds, null where there was null or a fault; and the faults."""


def to_moments(array: pa.Array, written: bool = False) -> Moments:
    """The times of a column of timestamps, dates, texts, or numbers of seconds since 1970. Naive ones are UTC, and NaN
    is null. Where the column is `written`, as in a CSV file, a number may be a text."""
    kind = array.type
    if kinds.is_null(kind):
        return pa.nulls(len(array), UTC_MICROS), ()
    if kinds.is_string(kind):
        return _from_texts(array, written)
    if kinds.is_timestamp(kind):
        return _from_ticks(array.cast(pa.int64()), _PER_SECOND[kind.unit], _OUT_OF_RANGE)
    if kinds.is_date(kind):
        days = array.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
        return _from_ticks(pc.multiply(days, 86_400), 1, _OUT_OF_RANGE)
    if kinds.is_floating(kind):
        return _from_floats(array.cast(pa.float64()))
    return _from_ticks(array, 1, _IN_SECONDS)


def _from_ticks(array: pa.Array, per_second: int, fault: str) -> Moments:
    there = array.is_valid().to_numpy(zero_copy_only=False)
    ticks = array.fill_null(0).to_numpy(zero_copy_only=False)
    first, end = (bound // 10**6 * per_second for bound in (_FIRST, _END))
    # Each bound by itself: not every kind of integer can say both.
    outside = (ticks < first) | (ticks >= end)
    ticks = np.where(outside, 0, ticks).astype(np.int64)
    micros = ticks // (per_second // 10**6) if per_second > 10**6 else ticks * (10**6 // per_second)
    return _moments(micros, there, outside, fault)


def _from_floats(array: pa.Array) -> Moments:
    numbers = array.fill_null(np.nan).to_numpy(zero_copy_only=False)
    there = ~np.isnan(numbers)
    outside = there & ~((numbers >= _FIRST // 10**6) & (numbers < _END // 10**6))
    # As datetime.fromtimestamp rounds, by which the numbers of inline rows are read.
    fraction, whole = np.modf(np.where(there & ~outside, numbers, 0.0))
    micros = whole.astype(np.int64) * 10**6 + np.rint(fraction * 1e6).astype(np.int64)
    return _moments(micros, there, outside, _IN_SECONDS)


def _moments(
    micros: npt.NDArray[np.int64], there: npt.NDArray[np.bool_], outside: npt.NDArray[np.bool_], fault: str
) -> Moments:
    outside &= there
    faults = [(int(place), fault) for place in np.flatnonzero(outside)]
    return pa.array(micros, mask=~there | outside).cast(UTC_MICROS), faults


def _from_texts(array: pa.Array, written: bool) -> Moments:
    for form in _TEXT_FORMS:
        moments = cast_or_none(array, form)
        if moments is not None:
            return _from_ticks(moments.cast(pa.int64()), _PER_SECOND[form.unit], _OUT_OF_RANGE)
    if written and (numbers := _numbers(array)) is not None:
        return to_moments(numbers)
    values: list[int | None] = []
    faults = []
    for place, text in enumerate(array.to_pylist()):
        try:
            values.append(None if text is None else _from_text(text, written))
        except ValueFault as fault:
            values.append(None)
            faults.append((place, str(fault)))
    return pa.array(values, pa.int64()).cast(UTC_MICROS), faults


def _numbers(array: pa.Array) -> pa.Array | None:
    """The numbers of a column of nothing else; None also where some are to be looked at one by one."""
    lengths = pc.utf8_length(array)
    if pc.any(pc.equal(lengths, 8)).as_py() or pc.any(pc.match_substring(array, "x", ignore_case=True)).as_py():
        return None
    for kind in (pa.int64(), pa.float64()):
        numbers = cast_or_none(array, kind)
        if numbers is not None:
            # Arrow reads the words nan and inf, too, and the first is not null here.
            return None if kinds.is_floating(kind) and not pc.all(pc.is_finite(numbers)).as_py() else numbers
    return None


def _from_text(text: str, written: bool) -> int:
    number = _NUMBER.fullmatch(text) if written else None
    if number is None:
        return to_microseconds(parse_timestamp(text))
    if len(text) == 8 and text.isdecimal():
        raise ValueFault("may be a date or epoch seconds; write a date as 2026-01-31")
    try:
        return to_microseconds(parse_timestamp(int(text) if number[1] == text else float(text)))
    except ValueFault:
        raise RangeFault(_IN_SECONDS) from None
