"""Event and created timestamps of pushed rows: columns of what JSON or Arrow carries, made microseconds since 1970."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

from app.domain import EPOCH, to_microseconds, to_moment
from app.value_columns import with_nulls
from app.values import EARLIEST, LATEST, ValueFault, parse_timestamp

_FIRST, _END = to_microseconds(EARLIEST), to_microseconds(LATEST)


class Moments(list[int | None]):
    """A column of times that are microseconds since 1970 already, as Arrow keeps them; None for null."""

    def values(self) -> list[datetime | None]:
        """The same times as JSON's text would carry them; those that no column may hold are as far out of range as
        the calendar allows."""
        return [None if moment is None else to_moment(min(max(moment, _FIRST - 1), _END)) for moment in self]


def parse_times(values: Sequence[Any]) -> tuple[Sequence[int | None], Sequence[tuple[int, ValueFault]]]:
    """Microseconds since 1970 of every value, None for null and for one with a fault; and the faults, by position."""
    plain = _plain_times(values)
    if plain is not None:
        return plain, ()
    times: list[int | None] = []
    faults = []
    for position, value in enumerate(values.values() if isinstance(values, Moments) else values):
        try:
            times.append(None if value is None else to_microseconds(parse_timestamp(value)))
        except ValueFault as found:
            times.append(None)
            faults.append((position, found))
    return times, faults


def _plain_times(values: Sequence[Any]) -> Sequence[int | None] | None:
    """The same for a column of one kind without a fault; None for any other."""
    kinds = set(map(type, values))
    present: Sequence[Any] = values
    if NoneType in kinds:
        kinds.remove(NoneType)
        present = [value for value in values if value is not None]
    if not kinds:
        return values
    if len(kinds) > 1 or (convert := _KINDS.get(Moments if isinstance(values, Moments) else kinds.pop())) is None:
        return None
    try:
        times = convert(present)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    if not _FIRST <= min(times) <= max(times) < _END:
        return None
    return times if present is values else with_nulls(values, times)


def _texts(values: Sequence[str]) -> list[int]:
    # Naive texts, which cannot be subtracted from, are left to the look at each value.
    parse = datetime.fromisoformat
    return [
        ((age := parse(value) - EPOCH).days * 86_400 + age.seconds) * 1_000_000 + age.microseconds for value in values
    ]


def _floats(values: Sequence[float]) -> list[int]:
    return [to_microseconds(datetime.fromtimestamp(value, UTC)) for value in values]


def _integers(values: Sequence[int]) -> list[int]:
    return [value * 1_000_000 for value in values]


_KINDS: dict[type, Callable[[Sequence[Any]], Sequence[int]]] = {
    str: _texts,
    float: _floats,
    int: _integers,
    Moments: lambda values: values,
}
