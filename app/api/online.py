"""Online features: GET for one entity, POST for many."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, JsonValue
from starlette.types import Receive, Scope

from app import hot_metrics, metrics
from app.api.direct import DirectRoute, read_body
from app.api.json_body import decode_body, described_body
from app.api.online_freshness import with_freshness
from app.api.online_query import INCLUDE, PARAMETERS, OnlineQuery, asks_for_freshness, parse_query_string
from app.api.problems import RESPONSES, documented
from app.api.state import AppState, state_of_scope
from app.domain import ValueStatus
from app.durations import parse_duration
from app.errors import FieldError, InvalidRequestError
from app.freshness.view import FreshnessStatus
from app.serving.encode import encode_many, encode_one, encode_part, encode_row
from app.serving.plan import ServingPlan
from app.serving.reader import read_features
from app.serving.request import OnlineRequest, check_columns, check_query
from app.serving.row import OnlineRow, read_row
from app.threads import in_thread

router = APIRouter(prefix="/v1", tags=["online features"], route_class=DirectRoute)

_MANY_FEATURES = 50
_MANY_ROWS = 500

Counted = tuple[int, Mapping[int, Sequence[str]], int, Sequence[Sequence[int]]]
"""Of one part of a request: rows, odd, at and held of its OnlineResult, which would keep the values alive."""

_READ_DURATION = hot_metrics.HotHistogram(metrics.ONLINE_READ_DURATION)


class IncludedFreshness(BaseModel):
    """How fresh the data of one view are as a whole, on request (include=freshness)."""

    status: FreshnessStatus
    staleness_seconds: float | None
    sla_seconds: float | None
    newest_event_timestamp: datetime | None


class OneEntity(BaseModel):
    """The features of one entity. Only PRESENT values carry one, unless on_stale=serve was asked for."""

    feature_service: str
    entity: dict[str, JsonValue]
    features: dict[str, JsonValue]
    statuses: dict[str, ValueStatus]
    event_timestamps: dict[str, str | None]
    freshness: dict[str, IncludedFreshness] = {}


class ManyEntities(BaseModel):
    """The features of many entities: `values[row][feature]`, in request order."""

    features: list[str]
    entities: dict[str, list[JsonValue]]
    values: list[list[JsonValue]]
    statuses: list[list[ValueStatus]]
    event_timestamps: dict[str, list[str | None]]
    freshness: dict[str, IncludedFreshness] = {}


@router.get(
    "/online-features/{feature_service}",
    summary="Features of one entity",
    response_model=OneEntity,
    responses=RESPONSES,
    description="Give the join keys, and request fields of on-demand views, as query parameters: `?user_id=u1`.",
    openapi_extra={"parameters": PARAMETERS},
)
async def get_online_features(scope: Scope, receive: Receive) -> bytes:
    state = state_of_scope(scope)
    plan = state.plans.service(scope["path_params"]["feature_service"])
    parameters, options = parse_query_string(scope["query_string"])
    plan.names(options.full_feature_names)
    checked = check_query(plan, parameters, options.max_staleness, options.on_stale)
    row = await _read_row(state, plan, checked)
    answer = encode_one(plan, checked.entities, row, options.full_feature_names)
    return with_freshness(answer, plan, state.freshness) if options.include else answer


@router.post(
    "/online-features",
    summary="Features of many entities",
    response_model=ManyEntities,
    responses={**RESPONSES, 413: documented("The body is longer than FRESHET_MAX_BODY_BYTES")},
    openapi_extra={
        "parameters": [INCLUDE],
        **described_body(OnlineQuery, {"feature_service": "assistant_v1", "entities": {"user_id": ["u1", "u2"]}}),
    },
)
async def post_online_features(scope: Scope, receive: Receive) -> bytes:
    state = state_of_scope(scope)
    freshness = asks_for_freshness(scope["query_string"]) if scope["query_string"] else False
    query = decode_body(await read_body(receive, state.settings.max_body_bytes), OnlineQuery)

    def check() -> tuple[ServingPlan, OnlineRequest]:
        plan = _plan(state, query)
        limit, max_staleness = state.settings.max_entities, _duration(query.max_staleness)
        return plan, check_columns(plan, query.entities, query.request_data, limit, max_staleness, query.on_stale)

    # A thousand features are compiled, and ten thousand odd values are looked at, while others are answered.
    big = is_big(query.features, *query.entities.values(), *query.request_data.values())
    plan, checked = await in_thread(check) if big else check()
    if checked.rows == 1:
        answer = encode_row(plan, checked.entities, await _read_row(state, plan, checked))
    else:
        answer = await _read_many(state, plan, checked)
    return with_freshness(answer, plan, state.freshness) if freshness or query.include else answer


async def _read_row(state: AppState, plan: ServingPlan, checked: OnlineRequest) -> OnlineRow:
    began = time.perf_counter()
    try:
        row = await read_row(plan, checked, state.clock(), state.transform_threads)
    finally:
        _READ_DURATION.observe(time.perf_counter() - began)
    plan.served.count_row(row.statuses)
    plan.ages.add_row(row.at, row.held)
    return row


async def _read_many(state: AppState, plan: ServingPlan, checked: OnlineRequest) -> bytes:
    now, threads = state.clock(), state.transform_threads
    results, parts = [], []
    with timed():
        for part in checked.parts(len(plan.outputs)):
            result = await read_features(plan, part, now, threads)
            parts.append(encode_part(plan, result))
            results.append((result.rows, result.odd, result.at, result.held))
    count(plan, results)
    return encode_many(plan, checked.entities, parts)


def count(plan: ServingPlan, parts: Iterable[Counted]) -> None:
    """Count what was served, when all parts of a request have been read: one that is refused serves nothing."""
    for rows, odd, at, held in parts:
        plan.served.count(rows, odd)
        plan.ages.add(at, rows, held)


def is_big(features: Sequence[str] | None, *columns: Any) -> bool:
    """Whether checking a request takes so long that it belongs in a thread."""
    if features and len(features) > _MANY_FEATURES:
        return True
    return any(type(column) is list and len(column) > _MANY_ROWS for column in columns)


@contextlib.contextmanager
def timed() -> Iterator[None]:
    """Observe how long the read inside takes, also where it fails."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _READ_DURATION.observe(time.perf_counter() - began)


def _plan(state: AppState, query: OnlineQuery) -> ServingPlan:
    if (query.feature_service is None) == (query.features is None):
        message = "give either feature_service or features"
        raise InvalidRequestError(message.capitalize(), [FieldError("feature_service", message)])
    if query.feature_service is not None:
        return state.plans.service(query.feature_service)
    return state.plans.features(query.features or [])


def _duration(text: str | float | None) -> timedelta | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidRequestError("The request is not valid", [FieldError("max_staleness", str(error))]) from None
