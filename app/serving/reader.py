"""Reading online features: rows from the store, rules applied, on-demand features computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from app import metrics
from app.domain import EntityKey, OnlineRow, OnStale, ValueStatus, ViewSpec, holds
from app.errors import NotServableError, StaleFeaturesError
from app.serving.plan import PlannedTransform, PlannedView, ServingPlan
from app.serving.request import OnlineRequest

log = structlog.get_logger(__name__)


class OnlineReader(Protocol):
    """What serving needs of an online store."""

    def read(self, view: ViewSpec, keys: Sequence[EntityKey], features: Sequence[str]) -> Sequence[OnlineRow | None]:
        """One entry per key, in order; None where the store has no row. Raises StoreUnavailableError."""


@dataclass(frozen=True)
class OnlineResult:
    """The answer in columns: `values` and `statuses` by output, then row; `event_timestamps` by view, then row."""

    values: list[list[Any]]
    statuses: list[list[ValueStatus]]
    event_timestamps: dict[str, list[datetime | None]]


@dataclass(frozen=True)
class _ViewRows:
    """What is known of one view: per row its status as a whole (PRESENT here means that the row holds)."""

    statuses: list[ValueStatus]
    rows: Sequence[OnlineRow | None]

    def value(self, position: int, feature: str) -> tuple[Any, ValueStatus]:
        row = self.rows[position]
        if row is None or self.statuses[position] is not ValueStatus.PRESENT:
            return None, self.statuses[position]
        value = row.values.get(feature)
        return value, ValueStatus.NULL_VALUE if value is None else ValueStatus.PRESENT


def read_features(plan: ServingPlan, reader: OnlineReader, request: OnlineRequest, now: datetime) -> OnlineResult:
    """The features of every row of the request at time `now` (UTC), in plan order and request order.

    Raises StoreUnavailableError, and StaleFeaturesError where the request wants on_stale=fail.
    """
    views = [_read_view(planned, reader, request, now) for planned in plan.views]
    computed = [_transform(planned, plan, views, request, now) for planned in plan.transforms]
    values, statuses = [], []
    for output in plan.outputs:
        if output.on_demand:
            column = computed[output.index][output.feature]
        else:
            column = _column(views[output.index], output.feature, request)
        values.append([value for value, _ in column])
        statuses.append([status for _, status in column])
    _count(plan, statuses)
    if request.on_stale is OnStale.FAIL:
        _refuse_stale(plan, statuses)
    timestamps = {
        planned.shown_as: [row.event_timestamp if row is not None else None for row in rows.rows]
        for planned, rows in zip(plan.views, views, strict=True)
    }
    return OnlineResult(values, statuses, timestamps)


def _read_view(planned: PlannedView, reader: OnlineReader, request: OnlineRequest, now: datetime) -> _ViewRows:
    columns = [request.entities[column] for column in planned.key_columns]
    join_keys = tuple(field.name for field in planned.view.join_keys)
    keys = [EntityKey(join_keys, tuple(column[row] for column in columns)) for row in range(request.rows)]
    unique = list(dict.fromkeys(keys))
    found = dict(zip(unique, reader.read(planned.view, unique, planned.features), strict=True))
    rows = [found[key] for key in keys]
    max_age = _shorter(planned.ttl, request.max_staleness)
    return _ViewRows([_status(row, now, max_age) for row in rows], rows)


def _status(row: OnlineRow | None, now: datetime, max_age: timedelta | None) -> ValueStatus:
    # A row of the future holds no value yet (rule 1); only writers that do not keep rule 5 leave one behind.
    if row is None or row.event_timestamp > now:
        return ValueStatus.NOT_FOUND
    return ValueStatus.PRESENT if holds(row.event_timestamp, now, max_age) else ValueStatus.OUTSIDE_MAX_AGE


def _shorter(ttl: timedelta | None, max_staleness: timedelta | None) -> timedelta | None:
    if ttl is None or max_staleness is None:
        return ttl or max_staleness
    return min(ttl, max_staleness)


def _column(view: _ViewRows, feature: str, request: OnlineRequest) -> list[tuple[Any, ValueStatus]]:
    column = [view.value(position, feature) for position in range(request.rows)]
    if request.on_stale is OnStale.SERVE:
        return [
            (row.values.get(feature), status) if row and status is ValueStatus.OUTSIDE_MAX_AGE else (value, status)
            for row, (value, status) in zip(view.rows, column, strict=True)
        ]
    return column


def _transform(
    planned: PlannedTransform, plan: ServingPlan, views: list[_ViewRows], request: OnlineRequest, now: datetime
) -> Mapping[str, list[tuple[Any, ValueStatus]]]:
    """The on-demand features by name. A null result has the worst status among the rows that it was computed from; so
    has one computed from rows outside their max age, where the request wants to know about those."""
    columns: dict[str, list[Any]] = {name: list(values) for name, values in request.entities.items()}
    for field in planned.spec.request_fields:
        # Only request_timestamp may be missing; check_columns has seen to that (rule 7).
        given = request.request_data.get(field.name)
        columns[field.name] = list(given) if given is not None else [_moment(field.dtype, now)] * request.rows
    causes = [ValueStatus.NULL_VALUE] * request.rows
    for name, index, feature in planned.inputs:
        column = _column(views[index], feature, request)
        columns[name] = [value for value, _ in column]
        causes = [_worse(cause, status) for cause, (_, status) in zip(causes, column, strict=True)]
    try:
        results = planned.spec.transform(columns)
    except Exception as error:  # the function is the user's; nulls are what it usually trips over
        name, kind = planned.spec.name, type(error).__name__
        log.warning("on-demand feature view failed", feature_view=name, exc_info=error)
        raise NotServableError(
            f"The function of on-demand feature view {name} fails on these inputs: {kind}"
        ) from error
    told = {ValueStatus.OUTSIDE_MAX_AGE} if request.on_stale is not OnStale.NULL else set()
    return {
        field.name: [
            (value, cause if _is_null(value) or cause in told else ValueStatus.PRESENT)
            for value, cause in zip(results.get(field.name) or [None] * request.rows, causes, strict=True)
        ]
        for field in planned.spec.features
    }


def _moment(dtype: str, now: datetime) -> Any:
    return (
        now if dtype == "UNIX_TIMESTAMP" else now.timestamp() if dtype in ("DOUBLE", "FLOAT") else int(now.timestamp())
    )


_SEVERITY = [ValueStatus.PRESENT, ValueStatus.NULL_VALUE, ValueStatus.OUTSIDE_MAX_AGE, ValueStatus.NOT_FOUND]


def _worse(one: ValueStatus, other: ValueStatus) -> ValueStatus:
    return max(one, other, key=_SEVERITY.index)


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _count(plan: ServingPlan, statuses: list[list[ValueStatus]]) -> None:
    for output, column in zip(plan.outputs, statuses, strict=True):
        for status, number in Counter(column).items():
            metrics.SERVED_VALUES.labels(output.shown_as, status.value).inc(number)


def _refuse_stale(plan: ServingPlan, statuses: list[list[ValueStatus]]) -> None:
    stale = [
        output.reference
        for output, column in zip(plan.outputs, statuses, strict=True)
        if ValueStatus.OUTSIDE_MAX_AGE in column
    ]
    if stale:
        raise StaleFeaturesError(f"Older than their ttl or than max_staleness: {', '.join(stale)}")
