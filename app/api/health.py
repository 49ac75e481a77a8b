"""Liveness, readiness and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app import metrics
from app.api.state import AppState, state_of
from app.errors import FreshetError

log = structlog.get_logger(__name__)
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
def readyz(state: Annotated[AppState, Depends(state_of)], response: Response) -> Readiness:
    checks: dict[str, str] = {}
    if state.draining.active:
        checks["process"] = "shutting down"
    checks["plans"] = "ok" if state.plans.loaded else "the registry has not been read yet"
    for name, check in state.checks.items():
        checks[name] = _outcome(name, check)
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


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def prometheus() -> Response:
    return Response(metrics.exposition(), media_type="text/plain; version=1.0.0; charset=utf-8")


def _outcome(name: str, check: Callable[[], None]) -> str:
    try:
        check()
    except FreshetError as error:
        return error.detail
    except Exception as error:
        log.warning("readiness check failed", check=name, error=str(error))
        return type(error).__name__
    return "ok"
