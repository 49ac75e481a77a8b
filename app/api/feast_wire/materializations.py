"""POST /materialize and /materialize-incremental."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
import orjson
from fastapi import APIRouter
from starlette.types import Receive, Scope

from app.api.direct import Reply, read_body
from app.api.feast_wire.route import RESPONSES, FeastRoute
from app.api.feast_wire.views import stored_view
from app.api.json_body import decode_body, described_body
from app.api.state import AppState, state_of_scope
from app.domain import Catalog, ViewSpec
from app.errors import FieldError, InvalidRequestError, NotServableError
from app.materializing.materialize import BEGINNING
from app.values import ValueFault, parse_timestamp

router = APIRouter(tags=["Feast's wire"], route_class=FeastRoute)

_Views = Annotated[
    list[str] | None, msgspec.Meta(description="Feature views; left out: every view that is kept online.")
]
_Version = Annotated[
    str | None, msgspec.Meta(description="Only the version in force, of one view; others are refused.")
]
_NoEffect = Annotated[bool, msgspec.Meta(description="Changes nothing: it concerns what is not supported.")]


class FeastMaterialize(msgspec.Struct):
    """A window, bounds included, in ISO 8601; naive times are UTC. disable_event_timestamp: from 1970 to now."""

    start_ts: str | None = None
    end_ts: str | None = None
    feature_views: _Views = None
    disable_event_timestamp: bool = False
    full_feature_names: _NoEffect = False
    version: _Version = None


class FeastMaterializeIncremental(msgspec.Struct):
    """Up to end_ts, in ISO 8601, since the last success of each view."""

    end_ts: str
    feature_views: _Views = None
    full_feature_names: _NoEffect = False
    version: _Version = None


def _option(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "boolean", "default": False}, "description": description}


_PARAMETERS = [
    _option("async", "Answer 202 at once, and 409 where one of the views is at it already in this process."),
    _option("force", "With async: begin all the same."),
]
_TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Done; the body is null"},
    202: {"description": 'Begun (?async=true): `{"status": "accepted", "feature_views": [...]}`'},
    409: {"description": 'One of the views is at it (?async=true): `{"error": "...", "feature_views": [...]}`'},
    **RESPONSES,
}


@router.post(
    "/materialize",
    summary="Bring the offline rows of a window online",
    responses=_ANSWERS,
    openapi_extra={
        "parameters": _PARAMETERS,
        **described_body(FeastMaterialize, {"start_ts": "2026-01-01T00:00:00", "end_ts": "2026-01-31T00:00:00"}),
    },
)
async def materialize(scope: Scope, receive: Receive) -> bytes | Reply:
    state = state_of_scope(scope)
    body = decode_body(await read_body(receive, state.settings.max_body_bytes), FeastMaterialize)
    views = _views(state.plans.catalog, body.feature_views, body.version)
    if body.disable_event_timestamp:
        return await _run(state, scope, views, BEGINNING, state.clock())
    if not body.start_ts or not body.end_ts:
        missing = [name for name in ("start_ts", "end_ts") if not getattr(body, name)]
        faults = [FieldError(name, "is missing, and disable_event_timestamp is false") for name in missing]
        raise InvalidRequestError("A materialization needs a window", faults)
    start, end = _moment("start_ts", body.start_ts), _moment("end_ts", body.end_ts)
    if start >= end:
        raise InvalidRequestError("start_ts must lie before end_ts", [FieldError("start_ts", "not before end_ts")])
    return await _run(state, scope, views, start, end)


@router.post(
    "/materialize-incremental",
    summary="Bring online what has come since the last success",
    responses=_ANSWERS,
    openapi_extra={
        "parameters": _PARAMETERS,
        **described_body(FeastMaterializeIncremental, {"end_ts": "2026-01-31T00:00:00"}),
    },
)
async def materialize_incremental(scope: Scope, receive: Receive) -> bytes | Reply:
    state = state_of_scope(scope)
    body = decode_body(await read_body(receive, state.settings.max_body_bytes), FeastMaterializeIncremental)
    views = _views(state.plans.catalog, body.feature_views, body.version)
    return await _run(state, scope, views, None, _moment("end_ts", body.end_ts))


async def _run(
    state: AppState, scope: Scope, views: Sequence[ViewSpec], start: datetime | None, end: datetime
) -> bytes | Reply:
    options = _options(scope["query_string"])
    names = [view.name for view in views]
    if not options["async"]:
        await state.materializations.run(views, start, end)
        return b"null"
    busy = [] if options["force"] else state.materializations.busy(views)
    if busy:
        message = f"These feature views are being materialized already: {', '.join(busy)}. Use ?force=true to override."
        return Reply(409, orjson.dumps({"error": message, "feature_views": busy}))
    state.materializations.begin(views, start, end)
    return Reply(202, orjson.dumps({"status": "accepted", "feature_views": names}))


def _options(query: bytes) -> dict[str, bool]:
    options = {"async": False, "force": False}
    for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in options:
            if text.lower() not in _TRUTH:
                raise InvalidRequestError("The request is not valid", [FieldError(name, "must be true or false")])
            options[name] = _TRUTH[text.lower()]
    return options


def _moment(name: str, text: str) -> datetime:
    try:
        return parse_timestamp(text)
    except ValueFault as fault:
        raise InvalidRequestError("The request is not valid", [FieldError(name, str(fault))]) from None


def _views(catalog: Catalog, names: Sequence[str] | None, version: str | None) -> list[ViewSpec]:
    """The views to materialize. Raises UnknownViewError, and NotServableError for what is not kept online."""
    if names is None:
        views = [view for view in catalog.views.values() if not view.refusal]
    else:
        views = [stored_view(catalog, name, "materialized") for name in dict.fromkeys(names)]
    if version is not None:
        allowed = ("latest", f"v{views[0].version or 0}") if names and len(views) == 1 else ()
        if version.lower() not in allowed:
            raise NotServableError(
                f"Version {version} cannot be materialized: `version` may only name the version in force, of one view"
            )
    return views
