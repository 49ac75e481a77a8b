"""On-demand features: the user's function over the values that were read, and the status of what it returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import structlog

from app.domain import ValueStatus, utc
from app.errors import TransformError
from app.planning.selection import PlannedTransform

log = structlog.get_logger(__name__)

_SEVERITY = {
    status.value: rank
    for rank, status in enumerate(
        [ValueStatus.PRESENT, ValueStatus.NULL_VALUE, ValueStatus.OUTSIDE_MAX_AGE, ValueStatus.NOT_FOUND]
    )
}


@dataclass(frozen=True, slots=True)
class Input:
    """One column that a function is given: its values, and the status of each by row."""

    values: Sequence[Any]
    status: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller gives: native values by column, all of length `rows`; `moments` are the times (UTC) for which the
    rows are computed, one for all or one each."""

    rows: int
    entities: Mapping[str, Sequence[Any]]
    request_data: Mapping[str, Sequence[Any]]
    moments: datetime | Sequence[datetime]


def transform(
    planned: PlannedTransform, inputs: Sequence[Input], given: Given, tell_old: bool = False
) -> Mapping[str, tuple[list[Any], list[str]]]:
    """The on-demand features by name: values and statuses by row.

    A null result has the worst status among the values that it was computed from; so has one computed from values
    outside their max age, where `tell_old` asks for that. Raises TransformError where the function fails.
    """
    columns: dict[str, list[Any]] = {name: list(values) for name, values in given.entities.items()}
    for field in planned.spec.request_fields:
        # Only request_timestamp may be missing; the check of the request has seen to that (rule 7).
        values = given.request_data.get(field.name)
        columns[field.name] = _moments(field.dtype, given) if values is None else list(values)
    for (name, _, _), column in zip(planned.inputs, inputs, strict=True):
        columns[name] = list(column.values)
    causes = [
        max((column.status(row) for column in inputs), key=_SEVERITY.__getitem__, default=ValueStatus.NULL_VALUE.value)
        for row in range(given.rows)
    ]
    results = _call(planned, columns)
    answer = {}
    for field in planned.spec.features:
        values = [
            utc(value) if isinstance(value, datetime) else value
            for value in results.get(field.name) or [None] * given.rows
        ]
        statuses = [status_of(value, cause, tell_old) for value, cause in zip(values, causes, strict=True)]
        answer[field.name] = (values, statuses)
    return answer


def _call(planned: PlannedTransform, columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    try:
        return planned.spec.transform(columns)
    except Exception as error:  # the function is the user's; nulls are what it usually trips over
        name, kind = planned.spec.name, type(error).__name__
        log.warning("on-demand feature view failed", feature_view=name, exc_info=error)
        raise TransformError(f"The function of on-demand feature view {name} fails on these inputs: {kind}") from error


def status_of(value: Any, cause: str, tell_old: bool) -> str:
    """The status of a result, from the worst status among what it was computed from; `tell_old`: whether old values
    were to be seen."""
    # NumPy's float64 is a float of Python's too; its others are not.
    if value is None or (isinstance(value, float | np.floating) and not math.isfinite(value)):
        # A function that makes a null of present values has made a null value.
        return cause if cause != ValueStatus.PRESENT else ValueStatus.NULL_VALUE.value
    return cause if tell_old and cause == ValueStatus.OUTSIDE_MAX_AGE else ValueStatus.PRESENT.value


def _moments(dtype: str, given: Given) -> list[Any]:
    if isinstance(given.moments, datetime):
        return [_moment(dtype, given.moments)] * given.rows
    return [_moment(dtype, moment) for moment in given.moments]


def _moment(dtype: str, moment: datetime) -> Any:
    if dtype == "UNIX_TIMESTAMP":
        return moment
    seconds = moment.timestamp()
    return seconds if dtype in ("DOUBLE", "FLOAT") else int(seconds)
