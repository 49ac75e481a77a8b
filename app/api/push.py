"""Push: realtime rows into the online and offline stores."""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.types import Receive, Scope

from app.api.direct import DirectRoute, read_body
from app.api.problems import RESPONSES, documented
from app.api.push_body import PushLimits, PushRequest, idempotency_key, push_decoder, push_description
from app.api.state import AppState, state_of_scope
from app.domain import PushOutcome
from app.errors import InvalidRequestError, StoreUnavailableError, TooBusyError
from app.pushing.grouped import GroupedPush, PushResult
from app.pushing.keys import Claim, ClaimState, NothingDoneError
from app.pushing.schema import PushSchema
from app.pushing.watermarks import accepted
from app.values import format_timestamp

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
    watermark: str | None = None
    """Up to where the push source is complete now, where one was given."""
    outcomes: list[RowOutcome]


@router.post(
    "/push/{push_source}",
    summary="Push rows",
    response_model=PushAnswer,
    responses={
        **{status: RESPONSES[status] for status in (404, 422, 503)},
        400: documented("The body is not what its content type says"),
        413: documented("The body is longer than FRESHET_MAX_BODY_BYTES"),
        415: documented("The body has a content type or a content encoding that is not read"),
        429: documented("Too many pushed rows wait to be written; retry after Retry-After seconds"),
    },
    description="Valid rows are written even where others are rejected; each row's outcome is in the answer.",
    openapi_extra=push_description(),
)
async def push(scope: Scope, receive: Receive) -> bytes:
    state = state_of_scope(scope)
    decode, key, settings = push_decoder(scope), idempotency_key(scope), state.settings
    body = await read_body(receive, settings.max_body_bytes)
    schema = state.pusher.schema(state.plans.catalog, scope["path_params"]["push_source"])
    request = decode(body, PushLimits(settings.max_push_rows, settings.max_body_bytes))
    state.pusher.require_online(schema, request.to)
    if key is None:
        return await _write(state, schema, request)

    async def work(claim: Claim) -> bytes:
        return await _write(state, schema, request, claim)

    stamp = state.pusher.reserve(len(request.rows))
    return await state.push_keys.once(schema.push_source, key, _fingerprint(scope, body), stamp, work)


async def _write(state: AppState, schema: PushSchema, request: PushRequest, claim: Claim | None = None) -> bytes:
    """Check the rows, write them, and tell what became of each; with a claim as of its moment, and with its stamps."""
    stamp = claim.stamp if claim else None
    try:
        watermark = None
        if request.watermark is not None:
            watermark = accepted(request.watermark, state.clock(), state.settings.max_clock_skew)
        result = PushResult([], {})
        if len(request.rows):
            checked = await state.pusher.checked(schema, request.rows, stamp)
            if request.atomic:
                state.pusher.require_all(schema, checked)
            again = claim is not None and claim.state is ClaimState.TAKEN_OVER
            push = GroupedPush(checked, request.to, request.atomic, stamp=stamp, again=again)
            result = await state.push_groups.write(schema, push)
    except (InvalidRequestError, TooBusyError) as error:
        if claim is None:
            raise
        raise NothingDoneError(error) from error
    if watermark is not None:
        # Only now: it says that the rows up to here are there.
        advance = functools.partial(state.watermarks.advance, schema.push_source, watermark, state.clock())
        try:
            watermark = await state.push_threads.run(advance)
        except StoreUnavailableError as error:
            done = "The rows were written and the watermark was not" if len(request.rows) else "It was not kept"
            raise StoreUnavailableError(f"{error.detail}. {done}") from error
    return _encode(state.pusher.counted(schema, result), watermark)


def _fingerprint(scope: Scope, body: bytes) -> str:
    """What tells this request from another one to the same push source."""
    content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return hashlib.sha256(b"\n".join([content_type, scope["query_string"], body])).hexdigest()


def _encode(result: PushResult, watermark: datetime | None) -> bytes:
    outcomes = [{"row": row, "outcome": outcome._value_} for row, outcome in enumerate(result.outcomes)]
    for row, reason in result.reasons.items():
        outcomes[row]["reason"] = reason
    counts = {outcome.value: result.outcomes.count(outcome) for outcome in PushOutcome}
    known = {} if watermark is None else {"watermark": format_timestamp(watermark)}
    return orjson.dumps({"received": len(outcomes), **counts, **known, "outcomes": outcomes})
