"""Reading the online features of one entity: what app.serving.reader does for many, without the columns.

Most requests ask for one entity, and most of what a column costs it costs for one cell too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain import OnStale, to_microseconds
from app.serving.plan import ServingPlan
from app.serving.reader import OnlineResult, read_features, refuse_stale
from app.serving.request import OnlineRequest
from app.serving.rules import HIDDEN, NOT_FOUND, NULL, OLD, shorter
from app.serving.shape import PRESENT
from app.threads import DaemonThreads


@dataclass(slots=True)
class OnlineRow:
    """The answer for one entity: `values` and `statuses` by output, or no statuses where all are PRESENT; `moments`,
    event timestamps in microseconds since 1970 (UTC) by view, None where there is no row; `held`, the same at the time
    `at` of the read, but HIDDEN where no row is shown."""

    values: list[Any]
    statuses: list[str] | None
    moments: list[int | None]
    at: int
    held: list[int]


async def read_row(plan: ServingPlan, request: OnlineRequest, now: datetime, threads: DaemonThreads) -> OnlineRow:
    """The features of the one entity of the request, as app.serving.reader.read_features gives them."""
    if plan.transforms:
        return _only_row(await read_features(plan, request, now, threads))
    found = await plan.read.fetch_row(request.entities)
    cells, moments, at = found.values, found.moments, to_microseconds(now)
    held: list[int] = moments  # type: ignore[assignment]  # None is replaced below
    odd: dict[int, str] | None = None
    for view, moment in enumerate(moments):
        if moment is None or moment > at:
            status = NOT_FOUND
        else:
            limit = shorter(plan.views[view].max_age, request.max_staleness)
            if limit is None or at - moment <= limit:
                continue
            status = OLD
        odd = odd or {}
        odd[view] = status
        if status == NOT_FOUND or request.on_stale is not OnStale.SERVE:
            if held is moments:
                held = held.copy()
            held[view] = HIDDEN
            start, stop = plan.spans[view]
            cells[start:stop] = [None] * (stop - start)
    values = [cells[place] for place in plan.picks]
    for place in plan.reals:
        value = values[place]
        # NaN or an infinity; a feature that was another type before may hold anything.
        if type(value) is float and value - value != 0:
            values[place] = None
    if odd is None and None not in values:
        return OnlineRow(values, None, moments, at, held)
    statuses = _statuses(plan, values, odd or {})
    if request.on_stale is OnStale.FAIL:
        refuse_stale(plan, [statuses])
    return OnlineRow(values, statuses, moments, at, held)


def _statuses(plan: ServingPlan, values: Sequence[Any], odd: Mapping[int, str]) -> list[str]:
    """By output: that of its view where its row does not hold (rule 2), else whether there is a value."""
    return [
        odd.get(output.index) or (NULL if value is None else PRESENT)
        for output, value in zip(plan.outputs, values, strict=True)
    ]


def _only_row(result: OnlineResult) -> OnlineRow:
    return OnlineRow(
        [column[0] for column in result.values],
        result.odd.get(0),
        [column[0] for column in result.moments],
        result.at,
        [column[0] for column in result.held],
    )
