"""Whole columns of JSON values, made native at one look where every value plainly fits its type.

app.values says what fits, value by value, and what is wrong with what does not. Here a column is looked at as a whole,
in C: the set of its types, its smallest and largest value. A column that needs a second look gets None, also where all
of its values may turn out to be good.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

from app.values import EARLIEST, LATEST

Column = Sequence[Any]
_Check = Callable[[set[type], Column], Column | None]
"""From the types of a column's values and the values, None not among them, to native values."""


def plain_column(values: Column, dtype: str) -> Column | None:
    """What app.values.parse would make of every value, nulls included; None where it must be asked."""
    check = _CHECKS.get(dtype)
    if check is None:
        return None
    kinds = set(map(type, values))
    if NoneType not in kinds:
        return check(kinds, values)
    kinds.remove(NoneType)
    if not kinds:
        return values
    present = [value for value in values if value is not None]
    native = check(kinds, present)
    if native is present:
        return values
    return None if native is None else with_nulls(values, native)


def with_nulls(values: Iterable[Any], native: Iterable[Any]) -> list[Any]:
    """`native` has one entry for each of `values` that is not None; these entries, and None for the others."""
    following = iter(native)
    return [None if value is None else next(following) for value in values]


def _string(kinds: set[type], values: Column) -> Column | None:
    if kinds != {str}:
        return None
    joined = "".join(values)
    if "\0" in joined:
        return None
    try:
        # ASCII is told by a flag; anything else might hold a lone surrogate.
        _ = joined.isascii() or joined.encode()
    except UnicodeEncodeError:
        return None
    return values


def _integer(bits: int) -> _Check:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def check(kinds: set[type], values: Column) -> Column | None:
        return values if kinds == {int} and low <= min(values) and max(values) <= high else None

    return check


def _double(kinds: set[type], values: Column) -> Column | None:
    if not kinds <= {int, float}:
        return None
    try:
        floats = values if kinds == {float} else list(map(float, values))
    except OverflowError:
        return None
    return floats if math.isfinite(sum(floats)) else None


def _float(kinds: set[type], values: Column) -> Column | None:
    doubles = _double(kinds, values)
    if doubles is None:
        return None
    rounded = array("f", doubles).tolist()
    return rounded if math.isfinite(sum(rounded)) else None


def _bool(kinds: set[type], values: Column) -> Column | None:
    return values if kinds == {bool} else None


def _bytes(kinds: set[type], values: Column) -> Column | None:
    return values if kinds == {bytes} else None


def _moment(kinds: set[type], values: Column) -> Column | None:
    if kinds != {str}:
        return None
    try:
        moments = list(map(datetime.fromisoformat, values))
        # One that is naive cannot be compared, and one in another zone has to be converted.
        good = min(moments) >= EARLIEST and max(moments) < LATEST and {moment.tzinfo for moment in moments} == {UTC}
    except (ValueError, TypeError):
        return None
    return moments if good else None


_CHECKS: dict[str, _Check] = {
    "STRING": _string,
    "INT32": _integer(32),
    "INT64": _integer(64),
    "DOUBLE": _double,
    "FLOAT": _float,
    "BOOL": _bool,
    "UNIX_TIMESTAMP": _moment,
    **dict.fromkeys(("BYTES", "PDF_BYTES", "IMAGE_BYTES"), _bytes),
}
