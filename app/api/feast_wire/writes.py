"""POST /push and /write-to-online-store."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from starlette.types import Receive, Scope

from app.api.direct import Reply, read_body
from app.api.feast_wire.pushing import push_frame, write_frame
from app.api.feast_wire.route import RESPONSES, FeastRoute, documented
from app.api.json_body import decode_body, described_body
from app.api.state import state_of_scope
from app.domain import PushTarget

router = APIRouter(tags=["Feast's wire"], route_class=FeastRoute)

_Frame = Annotated[dict[str, Any], msgspec.Meta(description="Column -> one value per row.")]
_Ignored = Annotated[bool, msgspec.Meta(description="Changes nothing: the registry is looked at every few seconds.")]
_NoEffect = Annotated[bool, msgspec.Meta(description="Changes nothing: stored views are not transformed when written.")]

_EXAMPLE = {
    "user_id": ["u1"],
    "current_session_messages": [4],
    "current_session_tokens": [1830],
    "last_active_minutes_ago": [0.5],
    "event_timestamp": ["2026-01-31T12:00:00"],
}
_RESPONSES = {
    **RESPONSES,
    429: documented("Too many pushed rows wait to be written; retry after Retry-After seconds, as Feast's client does"),
}


class FeastPush(msgspec.Struct):
    """Rows for every view of a push source. Columns are named as the source, or the views, name them."""

    push_source_name: str
    df: _Frame
    to: PushTarget = PushTarget.ONLINE
    allow_registry_cache: _Ignored = True
    transform_on_write: _NoEffect = True


class FeastWrite(msgspec.Struct):
    """Rows for one view, to the online store alone."""

    feature_view_name: str
    df: _Frame
    allow_registry_cache: _Ignored = True
    transform_on_write: _NoEffect = True


@router.post(
    "/push",
    summary="Push a DataFrame: all of it, or nothing",
    responses={200: {"description": "All rows were taken; the body is empty"}, **_RESPONSES},
    openapi_extra=described_body(FeastPush, {"push_source_name": "user_realtime_events", "df": _EXAMPLE}),
)
async def push(scope: Scope, receive: Receive) -> Reply:
    state = state_of_scope(scope)
    body = decode_body(await read_body(receive, state.settings.max_body_bytes), FeastPush)
    await push_frame(state, body.push_source_name, body.df, body.to)
    return Reply(200, b"")


@router.post(
    "/write-to-online-store",
    summary="Write a DataFrame to one view's online rows, newest-wins",
    responses={200: {"description": "All rows were taken; the body is null"}, **_RESPONSES},
    openapi_extra=described_body(
        FeastWrite, {"feature_view_name": "user_realtime", "df": {**_EXAMPLE, "created": [None]}}
    ),
)
async def write_to_online_store(scope: Scope, receive: Receive) -> bytes:
    state = state_of_scope(scope)
    body = decode_body(await read_body(receive, state.settings.max_body_bytes), FeastWrite)
    await write_frame(state, body.feature_view_name, body.df)
    return b"null"
