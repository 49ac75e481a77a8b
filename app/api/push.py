"""Push: realtime rows into the online and offline stores."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel, ConfigDict, Field

from app.api.problems import RESPONSES
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.domain import PushOutcome, PushTarget
from app.errors import FieldError, InvalidRequestError

router = APIRouter(prefix="/v1", tags=["push"], route_class=TimedRoute)


class Push(BaseModel):
    """Rows to write: join keys, every feature, and an `event_timestamp` (RFC 3339 or epoch seconds; default: now)."""

    model_config = ConfigDict(extra="forbid")

    rows: list[Any] = Field(min_length=1)
    to: PushTarget = PushTarget.ONLINE_AND_OFFLINE


class RowOutcome(BaseModel):
    """What became of the row at position `row`."""

    row: int
    outcome: PushOutcome
    reason: str | None = None


class PushAnswer(BaseModel):
    """How many rows were received, what became of them in sum, and of each."""

    received: int
    applied: int
    late: int
    duplicate: int
    rejected: int
    outcomes: list[RowOutcome]


@router.post(
    "/push/{push_source}",
    summary="Push rows",
    responses=RESPONSES,
    response_model_exclude_none=True,
    description="Valid rows are written even where others are rejected; each row's outcome is in the answer.",
)
async def push(
    state: Annotated[AppState, Depends(state_of)],
    push_source: str,
    body: Push,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> PushAnswer:
    if idempotency_key is not None:
        # Taking the header without keeping its promise would let a retry append its rows offline a second time.
        message = "is not supported yet; leave it out (a repeated push is a duplicate online, and a second row offline)"
        raise InvalidRequestError("Idempotency keys are not supported yet", [FieldError("Idempotency-Key", message)])
    limit = state.settings.max_push_rows
    if len(body.rows) > limit:
        message = f"at most {limit} rows in one push (FRESHET_MAX_PUSH_ROWS), got {len(body.rows)}"
        raise InvalidRequestError("Too many rows", [FieldError("rows", message)])
    work = functools.partial(state.pusher.push, state.plans.catalog, push_source, body.rows, body.to)
    results = await state.push_threads.run(work)
    counts = Counter(result.outcome for result in results)
    return PushAnswer(
        received=len(results),
        applied=counts[PushOutcome.APPLIED],
        late=counts[PushOutcome.LATE],
        duplicate=counts[PushOutcome.DUPLICATE],
        rejected=counts[PushOutcome.REJECTED],
        outcomes=[RowOutcome(row=result.row, outcome=result.outcome, reason=result.reason) for result in results],
    )
