"""How fresh the feature views are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from app.api.problems import RESPONSES
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.errors import NotFoundError
from app.freshness.board import FreshnessBoard, monitored
from app.freshness.exported import TEAM_TAG, beyond_sla_ratio
from app.freshness.view import FreshnessStatus, ViewFreshness

router = APIRouter(prefix="/v1", tags=["freshness"], route_class=TimedRoute)

State = Annotated[AppState, Depends(state_of)]


class EntityAgeModel(BaseModel):
    """Ages of sampled entities in seconds, at the time of the probe."""

    p50: float
    p95: float
    max: float


class ViewFreshnessModel(BaseModel):
    """How fresh one view is now, and what the last probe has found of its online data. Null: unknown, or not there."""

    feature_view: str
    status: FreshnessStatus
    staleness_seconds: float | None
    sla_seconds: float | None
    warn_seconds: float | None
    sla_fault: str | None
    newest_event_timestamp: datetime | None
    watermark: datetime | None
    last_write: datetime | None
    last_write_rows: int | None
    entity_age_seconds: EntityAgeModel | None
    sampled_entities: int | None
    beyond_sla_ratio: float | None
    future_entities: int
    probed_at: datetime | None
    owner: str
    team: str


class FreshnessModel(BaseModel):
    """All feature views that are kept online, the worst first, and how many have each status."""

    generated_at: datetime
    probed_at: datetime | None
    probe_interval_seconds: float
    counts: dict[FreshnessStatus, int]
    views: list[ViewFreshnessModel]


@router.get("/freshness", summary="How fresh all feature views are, the worst first", responses={503: RESPONSES[503]})
def freshness(state: State) -> FreshnessModel:
    board, now = state.freshness, state.freshness.now()
    return shown(board, board.all(monitored(state.plans.catalog), now), now)


@router.get(
    "/freshness/{name}",
    summary="How fresh one feature view is",
    responses={404: RESPONSES[404], 503: RESPONSES[503]},
)
def view_freshness(state: State, name: str) -> ViewFreshnessModel:
    views = {view.name: view for view in monitored(state.plans.catalog)}
    if name not in views:
        known = ", ".join(views) or "none"
        raise NotFoundError(f"There is no feature view {name} that is kept online. Known: {known}")
    return shown_view(state.freshness.of(views[name]))


def shown(board: FreshnessBoard, states: list[ViewFreshness], now: datetime) -> FreshnessModel:
    """The state of these views at `now` as the API shows it."""
    statuses = [state.status for state in states]
    return FreshnessModel(
        generated_at=now,
        probed_at=None if board.snapshot is None else board.snapshot.taken_at,
        probe_interval_seconds=board.interval.total_seconds(),
        counts={status: statuses.count(status) for status in FreshnessStatus},
        views=[shown_view(state) for state in states],
    )


def shown_view(state: ViewFreshness) -> ViewFreshnessModel:
    """One view as the API shows it."""
    found, ages = state.found, state.found.ages
    return ViewFreshnessModel(
        feature_view=state.view.name,
        status=state.status,
        staleness_seconds=_seconds(state.staleness),
        sla_seconds=_seconds(state.sla.sla),
        warn_seconds=_seconds(state.sla.warn),
        sla_fault=state.sla.fault,
        newest_event_timestamp=found.newest,
        watermark=found.watermark,
        last_write=found.last_write,
        last_write_rows=found.last_write_rows,
        entity_age_seconds=None if ages is None else EntityAgeModel(p50=ages.p50, p95=ages.p95, max=ages.max),
        sampled_entities=found.sampled,
        beyond_sla_ratio=beyond_sla_ratio(state),
        future_entities=found.future,
        probed_at=state.probed_at,
        owner=state.view.owner,
        team=state.view.tags.get(TEAM_TAG, ""),
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
