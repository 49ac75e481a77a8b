"""Reading online features: columns from the store, rules applied, on-demand features computed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain import OnStale, to_microseconds
from app.errors import StaleFeaturesError
from app.planning.selection import PlannedTransform
from app.planning.transforms import Given, Input, transform
from app.serving.plan import ServingPlan
from app.serving.ports import ViewColumns
from app.serving.request import OnlineRequest
from app.serving.rules import HIDDEN, NOT_FOUND, NULL, OLD, shorter
from app.serving.shape import PRESENT
from app.threads import DaemonThreads, awaitable


@dataclass(slots=True)
class OnlineResult:
    """The answer in columns.

    `values` by output, then row. `odd` holds the rows in which not every status is PRESENT: their statuses by output.
    `moments` are event timestamps in microseconds since 1970 (UTC) by view, then row; None where there is no row.
    `held` are the same at the time `at` of the read (same unit), but HIDDEN where no row is shown.
    """

    rows: int
    values: list[list[Any]]
    odd: dict[int, list[str]]
    moments: list[list[int | None]]
    at: int
    held: list[list[int]]


async def read_features(
    plan: ServingPlan, request: OnlineRequest, now: datetime, threads: DaemonThreads
) -> OnlineResult:
    """The features of every row of the request at time `now` (UTC), in plan order and request order.

    On-demand features are computed in `threads`. The event loop is held while rows are decoded: a big request is read
    part by part (OnlineRequest.parts).
    Raises StoreUnavailableError, StaleFeaturesError where the request wants on_stale=fail, and NotServableError where
    the function of an on-demand view fails.
    """
    views = await plan.read.fetch(request.entities, request.rows)
    at = to_microseconds(now)
    exceptions = [
        _exceptions(columns.moments, at, shorter(planned.max_age, request.max_staleness))
        for planned, columns in zip(plan.views, views, strict=True)
    ]
    for columns, odd_rows in zip(views, exceptions, strict=True):
        if odd_rows:
            _hide(columns, odd_rows, request.on_stale)
    computed = [await _compute(planned, plan, views, exceptions, request, now, threads) for planned in plan.transforms]
    held = [_held(columns.moments, odd, request.on_stale) for columns, odd in zip(views, exceptions, strict=True)]
    values, odd = _assemble(plan, request.rows, views, exceptions, computed)
    result = OnlineResult(request.rows, values, odd, [columns.moments for columns in views], at, held)
    if request.on_stale is OnStale.FAIL and result.odd:
        refuse_stale(plan, result.odd.values())
    return result


def _exceptions(moments: Sequence[int | None], at: int, max_age: int | None) -> dict[int, str]:
    """The rows that do not hold at time `at` (rule 1), and their status (rule 2)."""
    if None not in moments:
        newest, oldest = max(moments), min(moments)  # type: ignore[type-var]
        if newest <= at and (max_age is None or at - oldest <= max_age):  # type: ignore[operator]
            return {}
    odd = {}
    for row, moment in enumerate(moments):
        # A row of the future holds no value yet; only writers that do not keep rule 5 leave one behind.
        if moment is None or moment > at:
            odd[row] = NOT_FOUND
        elif max_age is not None and at - moment > max_age:
            odd[row] = OLD
    return odd


def _hide(columns: ViewColumns, odd_rows: Mapping[int, str], on_stale: OnStale) -> None:
    """Take away the values that do not hold, unless the caller wants old ones all the same."""
    for row, status in odd_rows.items():
        if status == OLD and on_stale is OnStale.SERVE:
            continue
        for values in columns.values:
            values[row] = None


def _held(moments: list[int | None], odd_rows: Mapping[int, str], on_stale: OnStale) -> list[int]:
    """The moments of the rows that are shown, HIDDEN for the others."""
    held = moments.copy() if odd_rows else moments
    for row, status in odd_rows.items():
        if status == NOT_FOUND or on_stale is not OnStale.SERVE:
            held[row] = HIDDEN
    return held  # type: ignore[return-value]  # a row without a moment is an odd one


async def _compute(
    planned: PlannedTransform,
    plan: ServingPlan,
    views: Sequence[ViewColumns],
    exceptions: Sequence[Mapping[int, str]],
    request: OnlineRequest,
    now: datetime,
    threads: DaemonThreads,
) -> Mapping[str, tuple[list[Any], list[str]]]:
    def given(view: int, feature: str) -> Input:
        values = views[view].values[plan.views[view].features.index(feature)]
        odd_rows = exceptions[view]
        return Input(values, lambda row: odd_rows.get(row) or (NULL if values[row] is None else PRESENT))

    inputs = [given(view, feature) for _, view, feature in planned.inputs]
    # In a thread: what the user's function does, and for how long, is not ours to know.
    asked = Given(request.rows, request.entities, request.request_data, now)
    tell_old = request.on_stale is not OnStale.NULL
    return await awaitable(threads.submit(lambda: transform(planned, inputs, asked, tell_old)))


def _assemble(
    plan: ServingPlan,
    rows: int,
    views: Sequence[ViewColumns],
    exceptions: Sequence[dict[int, str]],
    computed: Sequence[Mapping[str, tuple[list[Any], list[str]]]],
) -> tuple[list[list[Any]], dict[int, list[str]]]:
    """Values and odd rows of the result."""
    if not computed and not any(exceptions) and not any(any(columns.gaps) for columns in views):
        # Most answers: every value is there, and holds.
        found = [views[view].values[position] for view, position in plan.stored]
        if all(_is_finite(found[place]) for place in plan.reals):
            return found, {}
    values: list[list[Any]] = []
    odd: defaultdict[int, list[str]] = defaultdict(plan.shape.all_present.copy)
    for number, output in enumerate(plan.outputs):
        if output.on_demand:
            column, statuses = computed[output.index][output.feature]
            values.append(column)
            unlike = {row: status for row, status in enumerate(statuses) if status != PRESENT}
        else:
            columns, unlike = views[output.index], exceptions[output.index]
            values.append(columns.values[output.position])
            for row in columns.gaps[output.position]:
                odd[row][number] = NULL
        for row, status in unlike.items():
            odd[row][number] = status
    _leave_out_what_json_cannot_say(plan, values, odd)
    return values, dict(odd)


def _is_finite(column: Sequence[Any]) -> bool:
    """Whether one look shows that no value is NaN or infinite; False where it takes a look at each."""
    try:
        return math.isfinite(sum(column))
    except TypeError:  # nulls, or what was stored when the feature was of another type
        return False


def _leave_out_what_json_cannot_say(
    plan: ServingPlan, values: list[list[Any]], odd: defaultdict[int, list[str]]
) -> None:
    """NaN and infinities, which are served as null: after the on-demand functions, which see what is stored."""
    for number in plan.reals:
        column = values[number]
        if _is_finite([value for value in column if value is not None]):
            continue
        values[number] = column = list(column)
        for row, value in enumerate(column):
            if isinstance(value, float) and not math.isfinite(value):
                column[row] = None
                # One that is served although it is old stays old.
                if row not in odd or odd[row][number] == PRESENT:
                    odd[row][number] = NULL


def refuse_stale(plan: ServingPlan, rows: Iterable[Sequence[str]]) -> None:
    """Raise StaleFeaturesError where a status of the rows, each by output, says that a value is too old."""
    stale = [
        output.reference for output, column in zip(plan.outputs, zip(*rows, strict=True), strict=True) if OLD in column
    ]
    if stale:
        raise StaleFeaturesError(f"Older than their ttl or than max_staleness: {', '.join(stale)}")
