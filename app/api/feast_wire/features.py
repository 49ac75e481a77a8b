"""POST /get-online-features."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, JsonValue
from starlette.types import Receive, Scope

from app.api.direct import read_body
from app.api.feast_wire.query import FeastQuery, check, find_plan
from app.api.feast_wire.route import RESPONSES, FeastRoute
from app.api.json_body import decode_body, described_body
from app.api.online import count, is_big, timed
from app.api.state import state_of_scope
from app.domain import ValueStatus
from app.serving.encode_feast import encode_answer, encode_vectors
from app.serving.plan import ServingPlan
from app.serving.reader import read_features
from app.serving.request import OnlineRequest
from app.threads import in_thread

router = APIRouter(tags=["Feast's wire"], route_class=FeastRoute)


class ViewVersion(BaseModel):
    """Feast's number of the version of a view that was read; none for version 0."""

    name: str
    version: int = 0


class Metadata(BaseModel):
    """The names of the vectors, in their order: join keys, then features."""

    feature_names: list[str]
    feature_view_metadata: list[ViewVersion] = []


class FeatureVector(BaseModel):
    """One join key or feature, by row. Only PRESENT values carry one; no event timestamp is 1970-01-01T00:00:00Z."""

    values: list[JsonValue]
    statuses: list[ValueStatus]
    event_timestamps: list[str]


class FeatureVectors(BaseModel):
    """Feast's answer."""

    results: list[FeatureVector]
    metadata: Metadata


@router.post(
    "/get-online-features",
    summary="Features of many entities, in Feast's shape",
    response_model=FeatureVectors,
    responses=RESPONSES,
    openapi_extra=described_body(
        FeastQuery, {"feature_service": "assistant_v1", "entities": {"user_id": ["u1", "u2"]}}
    ),
)
async def get_online_features(scope: Scope, receive: Receive) -> bytes:
    state = state_of_scope(scope)
    query = decode_body(await read_body(receive, state.settings.max_body_bytes), FeastQuery)

    def prepare() -> tuple[ServingPlan, OnlineRequest]:
        plan = find_plan(state.plans, query)
        return plan, check(state.plans.catalog, plan, query, state.settings.max_entities)

    big = is_big(query.features, *query.entities.values())
    plan, checked = await in_thread(prepare) if big else prepare()
    now = state.clock()
    parts, counts = [], []
    with timed():
        for part in checked.parts(len(plan.outputs)):
            result = await read_features(plan, part, now, state.transform_threads)
            parts.append(encode_vectors(plan, result))
            counts.append((result.rows, result.odd, result.at, result.held))
    count(plan, counts)
    return encode_answer(
        plan, checked.entities, parts, query.full_feature_names, query.include_feature_view_version_metadata
    )
