"""Whether two sides are skewed: the values of one entity as they are served, and as the point-in-time join gives them.

What is not materialized yet is late and no skew, and neither is what was pushed online alone (docs/skew.md).
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from app.domain import ValueStatus
from app.skew.findings import Kind
from app.values import to_json

_ABSENT = (ValueStatus.NOT_FOUND, ValueStatus.OUTSIDE_MAX_AGE)


@dataclass(frozen=True, slots=True)
class Side:
    """One entity on one side: `statuses` and native `values` by feature, and the event timestamp of its row in
    microseconds since 1970 (UTC), None where there is none."""

    moment: int | None
    statuses: Sequence[str]
    values: Sequence[Any]


class Outcome(enum.Enum):
    """What a comparison has come to; only the first two were one."""

    MATCHED = enum.auto()
    MISMATCHED = enum.auto()
    LAGGING = enum.auto()
    AHEAD = enum.auto()
    FAILING = enum.auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one entity; of a mismatch its kind and the features, by place; of a function that fails the
    reason."""

    outcome: Outcome
    kind: Kind | None = None
    features: Sequence[int] = ()
    reason: str | None = None


MATCHED, LAGGING, AHEAD = Verdict(Outcome.MATCHED), Verdict(Outcome.LAGGING), Verdict(Outcome.AHEAD)


def judge(
    online: Side, offline: Side, dtypes: Sequence[str], at: int, pushed: bool, settled: Callable[[bool], bool]
) -> Verdict:
    """The verdict on the row of a stored view at time `at` (microseconds since 1970, UTC).

    `pushed`: the view has a push source, so that rows may be online alone. `settled` tells whether the row that the
    offline side has must be online by now; its argument, whether a row of the same event timestamp is.
    """
    if online.moment is not None and online.moment > at:
        return AHEAD  # it came after `at`, or is an event of the future, which is an alert of its own
    if offline.moment is not None and (online.moment is None or online.moment < offline.moment):
        return _decide(Kind.MISSING, differing(online, offline, dtypes, lenient=True), lambda: settled(False))
    if online.moment is not None and (offline.moment is None or online.moment > offline.moment):
        if pushed:
            return AHEAD
        return _decide(Kind.EXTRA, differing(online, offline, dtypes, lenient=True), lambda: True)
    places = differing(online, offline, dtypes)
    alike = any(online.statuses[place] == offline.statuses[place] for place in places)
    return _decide(Kind.VALUE if alike else Kind.STATUS, places, lambda: settled(True))


def judge_computed(online: Side, offline: Side, dtypes: Sequence[str], inputs: int) -> Verdict:
    """The verdict on an on-demand view whose first `inputs` features are what it is computed from. Where these differ
    nothing can be said of the function: they are compared as the views they belong to."""
    places = differing(online, offline, dtypes)
    if any(place < inputs for place in places):
        return LAGGING
    return _decide(Kind.TRANSFORMATION, places, lambda: True)


def _decide(kind: Kind, places: Sequence[int], settled: Callable[[], bool]) -> Verdict:
    if not places:
        return MATCHED
    return Verdict(Outcome.MISMATCHED, kind, places) if settled() else LAGGING


def differing(one: Side, other: Side, dtypes: Sequence[str], lenient: bool = False) -> list[int]:
    """The places at which the sides differ in value or status. `lenient`: two that serve nothing do not differ,
    whether a row is there and too old or has been removed by now."""
    found = []
    for place, dtype in enumerate(dtypes):
        statuses = one.statuses[place], other.statuses[place]
        if lenient and all(status in _ABSENT for status in statuses):
            continue
        if statuses[0] != statuses[1] or canonical(one.values[place], dtype) != canonical(other.values[place], dtype):
            found.append(place)
    return found


def canonical(value: Any, dtype: str) -> Any:
    """The value in a form in which equal ones are equal, whichever way they came: NaN and infinities are null, 32-bit
    floats have 32 bits, times are in whole seconds, which is what Feast keeps online, and sets have no order."""
    if value is None:
        return None
    base, _, collection = dtype.rpartition("_")
    if collection in ("LIST", "SET") and base and isinstance(value, Sequence | set | frozenset):
        entries = [canonical(entry, base) for entry in value]
        return sorted(entries, key=repr) if collection == "SET" else entries
    if hasattr(value, "tolist"):  # NumPy's, from on-demand functions
        value = value.tolist()
    if isinstance(value, datetime):
        return int(value.timestamp())
    if dtype == "DECIMAL":
        return _decimal(value)
    if dtype == "FLOAT" and isinstance(value, int | float):
        return _real(_narrow(float(value)))
    if isinstance(value, float):
        return _real(value)
    if isinstance(value, Mapping):
        return {str(key): canonical(entry, "") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(entry, "") for entry in value]
    return to_json(value)


def _real(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _narrow(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.inf


def _decimal(value: Any) -> Any:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return str(value)
