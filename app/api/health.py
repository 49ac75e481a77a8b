"""Liveness, readiness and metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app import hot_metrics, metrics
from app.api.state import AppState, state_of
from app.freshness.exported import export

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    """The process answers."""

    status: str


class Readiness(BaseModel):
    """Whether to send traffic here, and what each check found: `ok` or the reason."""

    status: str
    checks: dict[str, str]
    registry_age_seconds: float | None


@router.get("/livez", summary="Is the process alive? Touches nothing else")
async def livez() -> Alive:
    return Alive(status="ok")


@router.get(
    "/readyz",
    summary="May it get traffic? Checks plans and stores; 503 from SIGTERM on",
    responses={503: {"model": Readiness}},
)
async def readyz(state: Annotated[AppState, Depends(state_of)], response: Response) -> Readiness:
    checks: dict[str, str] = {}
    if state.draining.active:
        checks["process"] = "shutting down"
    checks["plans"] = "ok" if state.plans.loaded else "the registry has not been read yet"
    outcomes = await asyncio.gather(*(probe.outcome() for probe in state.probes))
    checks.update({probe.name: outcome for probe, outcome in zip(state.probes, outcomes, strict=True)})
    ready = all(outcome == "ok" for outcome in checks.values())
    # A registry that fails after the plans are built is shown, but does not stop serving: the last plans are good.
    if state.plans.last_error:
        checks["registry"] = f"cannot be read ({state.plans.last_error}); the last plans keep serving"
    response.status_code = 200 if ready else 503
    refreshed = state.plans.last_refresh
    return Readiness(
        status="ready" if ready else "not ready",
        checks=checks,
        registry_age_seconds=None if refreshed is None else max(0.0, time.time() - refreshed),
    )


@router.get(
    "/health",
    tags=["Feast's wire"],
    summary="Is there a registry to serve from? Touches nothing else",
    response_class=Response,
    responses={200: {"description": "Yes"}, 503: {"description": "Not yet"}},
)
async def health(state: Annotated[AppState, Depends(state_of)]) -> Response:
    return Response(status_code=200 if state.plans.loaded else 503)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def prometheus(state: Annotated[AppState, Depends(state_of)]) -> Response:
    hot_metrics.flush()
    export(state.freshness, state.plans.catalog if state.plans.loaded else None)
    return Response(await asyncio.to_thread(metrics.exposition), media_type="text/plain; version=1.0.0; charset=utf-8")
