"""Rule 1 in plain Python, slow and obvious: which value of a view holds for an entity at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE = 0, 1, 2


@dataclass(frozen=True)
class Fact:
    """One row of a source: the values are all features of the view, in its order."""

    key: tuple[Any, ...]
    event: datetime
    created: datetime | None
    values: tuple[Any, ...]


def holding(
    facts: Sequence[Fact],
    key: tuple[Any, ...],
    at: datetime,
    ttl: timedelta | None,
    known_at: bool = False,
    created_until: datetime | None = None,
) -> tuple[int, tuple[Any, ...] | None]:
    """The status of a view's row for a key at a time, and its values where it holds."""
    candidates = []
    for fact in facts:
        if None in key or fact.key != key or fact.event > at:
            continue
        if known_at and fact.created is not None and fact.created > at:
            continue
        if created_until is not None and fact.created is not None and fact.created > created_until:
            continue
        candidates.append(fact)
    if not candidates:
        return NOT_FOUND, None
    newest = max(candidates, key=_rank)
    if ttl is not None and at - newest.event > ttl:
        return OUTSIDE_MAX_AGE, None
    return PRESENT, newest.values


def _rank(fact: Fact) -> Any:
    return (fact.event, _null_first(fact.created), [_null_first(value) for value in fact.values])


def _null_first(value: Any) -> Any:
    return (value is not None, value)
