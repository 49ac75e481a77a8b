"""Online features: GET for one entity, POST for many."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictFloat, StrictInt, StrictStr

from app import metrics
from app.api.problems import RESPONSES
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.domain import OnStale, ValueStatus
from app.durations import parse_duration
from app.errors import FieldError, InvalidRequestError
from app.serving.encode import encode_many, encode_one
from app.serving.plan import ServingPlan
from app.serving.reader import OnlineResult, read_features
from app.serving.request import OnlineRequest, check_columns, check_query

router = APIRouter(prefix="/v1", tags=["online features"], route_class=TimedRoute)

_OPTIONS = {"full_feature_names", "max_staleness", "on_stale"}
State = Annotated[AppState, Depends(state_of)]


class OneEntity(BaseModel):
    """The features of one entity. Only PRESENT values carry one, unless on_stale=serve was asked for."""

    feature_service: str
    entity: dict[str, JsonValue]
    features: dict[str, JsonValue]
    statuses: dict[str, ValueStatus]
    event_timestamps: dict[str, str | None]


class ManyEntities(BaseModel):
    """The features of many entities: `values[row][feature]`, in request order."""

    features: list[str]
    entities: dict[str, list[JsonValue]]
    values: list[list[JsonValue]]
    statuses: list[list[ValueStatus]]
    event_timestamps: dict[str, list[str | None]]


class OnlineQuery(BaseModel):
    """Which features of which entities; either a feature service or a list of `view:feature`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"feature_service": "assistant_v1", "entities": {"user_id": ["u1", "u2"]}}]},
    )

    feature_service: str | None = None
    features: list[str] | None = Field(default=None, min_length=1, max_length=1000)
    entities: dict[str, Any]
    """Join key -> one value per row."""
    request_data: dict[str, Any] = {}
    """Request field of an on-demand view -> one value per row. request_timestamp defaults to now."""
    max_staleness: StrictStr | StrictInt | StrictFloat | None = None
    """Serve nothing older: seconds, 15m, 26h or PT5M. A view's own ttl still holds."""
    on_stale: OnStale = OnStale.NULL


@router.get(
    "/online-features/{feature_service}",
    summary="Features of one entity",
    response_model=OneEntity,
    responses=RESPONSES,
    description="Give the join keys, and request fields of on-demand views, as query parameters: `?user_id=u1`.",
)
def get_online_features(
    request: Request,
    state: State,
    feature_service: Annotated[str, Path()],
    full_feature_names: Annotated[bool, Query(description="Name features `view__feature`.")] = False,
    max_staleness: Annotated[str | None, Query(description="Seconds, 15m, 26h or PT5M.")] = None,
    on_stale: Annotated[OnStale, Query(description="What to do with a value that is too old.")] = OnStale.NULL,
) -> Response:
    plan = state.plans.service(feature_service)
    plan.names(full_feature_names)
    parameters = [(name, text) for name, text in request.query_params.multi_items() if name not in _OPTIONS]
    checked = check_query(plan, parameters, _duration(max_staleness), on_stale)
    result = _read(plan, state, checked)
    return _json(encode_one(plan, checked.entities, result, full_feature_names))


@router.post("/online-features", summary="Features of many entities", response_model=ManyEntities, responses=RESPONSES)
def post_online_features(state: State, query: OnlineQuery) -> Response:
    plan = _plan(state, query)
    checked = check_columns(
        plan,
        query.entities,
        query.request_data,
        state.settings.max_entities,
        _duration(query.max_staleness),
        query.on_stale,
    )
    return _json(encode_many(plan, checked.entities, _read(plan, state, checked)))


def _plan(state: AppState, query: OnlineQuery) -> ServingPlan:
    if (query.feature_service is None) == (query.features is None):
        message = "give either feature_service or features"
        raise InvalidRequestError(message.capitalize(), [FieldError("feature_service", message)])
    if query.feature_service is not None:
        return state.plans.service(query.feature_service)
    return state.plans.features(query.features or [])


def _read(plan: ServingPlan, state: AppState, request: OnlineRequest) -> OnlineResult:
    began = time.perf_counter()
    try:
        return read_features(plan, state.reader, request, state.clock())
    finally:
        metrics.ONLINE_READ_DURATION.observe(time.perf_counter() - began)


def _duration(text: str | float | None) -> timedelta | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidRequestError("The request is not valid", [FieldError("max_staleness", str(error))]) from None


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
