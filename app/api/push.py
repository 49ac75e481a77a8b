"""Push: realtime rows into the online and offline stores."""

from __future__ import annotations

import asyncio
import functools

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.types import Receive, Scope

from app.api.direct import DirectRoute, read_body
from app.api.problems import RESPONSES, documented
from app.api.push_body import PushLimits, push_decoder, push_description
from app.api.state import state_of_scope
from app.domain import PushOutcome
from app.pushing.checked import CheckedRows
from app.pushing.push import PushResult

router = APIRouter(prefix="/v1", tags=["push"], route_class=DirectRoute)


class RowOutcome(BaseModel):
    """What became of the row at position `row`; the reason of a rejected one has every fault, each after its code."""

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
    response_model=PushAnswer,
    responses={
        **RESPONSES,
        400: documented("The body is not what its content type says"),
        413: documented("The body is longer than FRESHET_MAX_BODY_BYTES"),
        415: documented("The body has a content type that is not read"),
    },
    description="Valid rows are written even where others are rejected; each row's outcome is in the answer.",
    openapi_extra=push_description(),
)
async def push(scope: Scope, receive: Receive) -> bytes:
    state = state_of_scope(scope)
    decode, settings = push_decoder(scope), state.settings
    body = await read_body(receive, settings.max_body_bytes)
    request = decode(body, PushLimits(settings.max_push_rows, settings.max_body_bytes))
    schema = state.pusher.schema(state.plans.catalog, scope["path_params"]["push_source"])
    parts: list[CheckedRows] = []
    for part in state.pusher.check(schema, request.rows):
        if parts:
            # Others may run between the parts of a big push.
            await asyncio.sleep(0)
        parts.append(part)
    checked = CheckedRows.joined(parts)
    if request.atomic:
        state.pusher.require_all(schema, checked)
    work = functools.partial(state.pusher.write, schema, checked, request.to)
    return _encode(await state.push_threads.run(work))


def _encode(result: PushResult) -> bytes:
    outcomes = [{"row": row, "outcome": outcome._value_} for row, outcome in enumerate(result.outcomes)]
    for row, reason in result.reasons.items():
        outcomes[row]["reason"] = reason
    counts = {outcome.value: result.outcomes.count(outcome) for outcome in PushOutcome}
    return orjson.dumps({"received": len(outcomes), **counts, "outcomes": outcomes})
