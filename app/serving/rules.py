"""Rules 1 and 2 in numbers: when a row holds, in microseconds since 1970 (UTC), and what its status is otherwise."""

from __future__ import annotations

from datetime import timedelta

from app.domain import ValueStatus

NULL = ValueStatus.NULL_VALUE.value
NOT_FOUND = ValueStatus.NOT_FOUND.value
OLD = ValueStatus.OUTSIDE_MAX_AGE.value

HIDDEN = 2**62
"""In place of the event timestamp of a row that is not shown: later than all times that are."""


def shorter(ttl: int | None, max_staleness: timedelta | None) -> int | None:
    """The shorter of two limits, in microseconds; None where there is none."""
    if max_staleness is None:
        return ttl
    limit = max_staleness // timedelta(microseconds=1)
    return limit if ttl is None else min(ttl, limit)
