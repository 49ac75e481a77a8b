"""Push sources: the views that each feeds, and up to where somebody has said that it is complete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from app.api.problems import RESPONSES
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.domain import Catalog
from app.errors import NotFoundError
from app.pushing.watermarks import Watermark
from app.values import format_timestamp

router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=TimedRoute)

State = Annotated[AppState, Depends(state_of)]


class PushSourceModel(BaseModel):
    """A push source. It is complete up to `watermark`, as pushes have said, last at `watermark_updated_at`; both are
    null where none has said so."""

    name: str
    feature_views: list[str]
    watermark: str | None
    watermark_updated_at: str | None


@router.get("/push-sources", summary="All push sources", responses={503: RESPONSES[503]})
async def push_sources(state: State) -> dict[str, list[PushSourceModel]]:
    catalog = state.plans.catalog
    # The database may hang: then it holds up no more than what waits for it anyway.
    kept = await state.push_threads.run(state.watermarks.kept)
    return {"push_sources": [_push_source(catalog, name, kept.get(name)) for name in catalog.push_sources]}


@router.get(
    "/push-sources/{name}",
    summary="One push source",
    responses={status: RESPONSES[status] for status in (404, 503)},
)
async def push_source(state: State, name: str) -> PushSourceModel:
    catalog = state.plans.catalog
    if name not in catalog.push_sources:
        raise NotFoundError(f"There is no push source {name}")
    kept = await state.push_threads.run(state.watermarks.kept)
    return _push_source(catalog, name, kept.get(name))


def _push_source(catalog: Catalog, name: str, kept: Watermark | None) -> PushSourceModel:
    return PushSourceModel(
        name=name,
        feature_views=list(catalog.push_sources[name]),
        watermark=format_timestamp(kept.moment) if kept else None,
        watermark_updated_at=format_timestamp(kept.updated_at) if kept else None,
    )
