"""Training-serving skew: what the probe has compared, and the last mismatches."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from app.api.problems import RESPONSES
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.errors import NotFoundError
from app.skew.findings import Kind, Mismatch, SkewReport, ViewSkew
from app.values import format_timestamp

router = APIRouter(prefix="/v1", tags=["operations"], route_class=TimedRoute)

State = Annotated[AppState, Depends(state_of)]


class ViewSkewModel(BaseModel):
    """One feature view. `checked` and `mismatched` are totals over entities, as in the metrics; `lagging` (not
    materialized yet), `ahead` (pushed to the online store alone) and `failing` (an on-demand function raises on it) are
    of the last look, and were not compared.
    `skipped_reason` says why the last look could not be one."""

    feature_view: str
    checked: int
    mismatched: int
    lagging: int
    ahead: int
    failing: int
    skipped_reason: str | None
    last_checked_at: str | None


class MismatchModel(BaseModel):
    """One entity, by its join keys, that is served otherwise than it is trained on, and in which features: no values.

    `kind`: value, status (a value against a null), missing (not online though a materialization has passed it), extra
    (online and never in the offline store) or transformation (an on-demand function that makes other things of the
    same inputs). `event_timestamp` is that of its row, null for on-demand views.
    """

    feature_view: str
    entity: dict[str, Any]
    features: list[str]
    kind: Kind
    seen_at: str
    event_timestamp: str | None


class SkewModel(BaseModel):
    """What is known as of `generated_at`, null where nobody has looked yet. A look begins every `interval_seconds`; 0:
    never. `mismatches` are the last 100 entities that were seen in the last seven days, the newest first."""

    generated_at: str | None
    interval_seconds: float
    views: list[ViewSkewModel]
    mismatches: list[MismatchModel]


@router.get(
    "/skew",
    summary="Features as served, compared with the point-in-time join",
    responses={404: RESPONSES[404]},
)
async def skew(
    state: State,
    feature_view: Annotated[str | None, Query(description="Of this view alone.")] = None,
) -> SkewModel:
    report, seconds = state.skew.report, state.skew.interval.total_seconds()
    if feature_view is not None:
        _check_known(state, report, feature_view)
    if report is None:
        return SkewModel(generated_at=None, interval_seconds=seconds, views=[], mismatches=[])

    def wanted(found: ViewSkew | Mismatch) -> bool:
        return feature_view is None or found.feature_view == feature_view

    return SkewModel(
        generated_at=format_timestamp(report.generated_at),
        interval_seconds=seconds,
        views=[_view(view) for view in report.views.values() if wanted(view)],
        mismatches=[_mismatch(one) for one in report.mismatches if wanted(one)],
    )


def _check_known(state: AppState, report: SkewReport | None, name: str) -> None:
    known = {} if report is None else report.views
    if name not in known:
        catalog = state.plans.catalog
        if name not in catalog.views and name not in catalog.on_demand_views:
            raise NotFoundError(f"There is no feature view {name}")


def _view(view: ViewSkew) -> ViewSkewModel:
    return ViewSkewModel(
        feature_view=view.feature_view,
        checked=view.checked,
        mismatched=view.mismatched,
        lagging=view.lagging,
        ahead=view.ahead,
        failing=view.failing,
        skipped_reason=view.skipped_reason,
        last_checked_at=_text(view.last_checked_at),
    )


def _mismatch(one: Mismatch) -> MismatchModel:
    return MismatchModel(
        feature_view=one.feature_view,
        entity=dict(one.entity),
        features=list(one.features),
        kind=one.kind,
        seen_at=format_timestamp(one.seen_at),
        event_timestamp=_text(one.event_timestamp),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else format_timestamp(moment)
