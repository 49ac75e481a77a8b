"""What the registry knows: feature views, feature services, entities."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from app.api.problems import RESPONSES
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.domain import Catalog, EntitySpec, FieldSpec, OnDemandSpec, OtherView, ServiceSpec, ViewSpec
from app.errors import NotFoundError

router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=TimedRoute)

State = Annotated[AppState, Depends(state_of)]


class FieldModel(BaseModel):
    """A column and its type, by the name of Feast's ValueType."""

    name: str
    dtype: str
    description: str


class FeatureViewModel(BaseModel):
    """A feature view: `kind` is stored, on_demand, or the class of one that is not supported; `ttl_seconds` null means
    that values hold for ever. `refusal` says why it cannot be read online, null where it can."""

    name: str
    kind: str
    entities: list[str]
    join_keys: list[FieldModel]
    features: list[FieldModel]
    ttl_seconds: float | None
    push_source: str | None
    source: str | None
    inputs: list[str]
    request_fields: list[FieldModel]
    version: str | None
    freshness_sla: str | None
    owner: str
    description: str
    tags: dict[str, str]
    feature_services: list[str]
    refusal: str | None


class FeatureServiceModel(BaseModel):
    """A feature service and the features it serves, in order. `servable` false: `refusal` says why."""

    name: str
    features: list[str]
    join_keys: list[FieldModel]
    request_fields: list[FieldModel]
    servable: bool
    refusal: str | None
    owner: str
    description: str
    tags: dict[str, str]


class EntityModel(BaseModel):
    """An entity, its join key, and the views that describe it."""

    name: str
    join_key: str
    dtype: str
    owner: str
    description: str
    tags: dict[str, str]
    feature_views: list[str]


@router.get("/feature-views", summary="All feature views, on-demand ones included")
def feature_views(state: State) -> dict[str, list[FeatureViewModel]]:
    catalog = state.plans.catalog
    models = [_view(catalog, view) for view in catalog.views.values()]
    models += [_on_demand(catalog, view) for view in catalog.on_demand_views.values()]
    models += [_other(catalog, view) for view in catalog.other_views.values()]
    return {"feature_views": sorted(models, key=lambda model: model.name)}


@router.get("/feature-views/{name}", summary="One feature view", responses={404: RESPONSES[404]})
def feature_view(state: State, name: str) -> FeatureViewModel:
    catalog = state.plans.catalog
    if name in catalog.views:
        return _view(catalog, catalog.views[name])
    if name in catalog.on_demand_views:
        return _on_demand(catalog, catalog.on_demand_views[name])
    if name in catalog.other_views:
        return _other(catalog, catalog.other_views[name])
    raise NotFoundError(f"There is no feature view {name}")


@router.get("/feature-services", summary="All feature services")
def feature_services(state: State) -> dict[str, list[FeatureServiceModel]]:
    services = state.plans.catalog.services.values()
    return {"feature_services": [_service(state, service) for service in services]}


@router.get("/feature-services/{name}", summary="One feature service", responses={404: RESPONSES[404]})
def feature_service(state: State, name: str) -> FeatureServiceModel:
    service = state.plans.catalog.services.get(name)
    if service is None:
        raise NotFoundError(f"There is no feature service {name}")
    return _service(state, service)


@router.get("/entities", summary="All entities")
def entities(state: State) -> dict[str, list[EntityModel]]:
    catalog = state.plans.catalog
    return {"entities": [_entity(catalog, entity) for entity in catalog.entities.values()]}


@router.get("/entities/{name}", summary="One entity", responses={404: RESPONSES[404]})
def entity(state: State, name: str) -> EntityModel:
    catalog = state.plans.catalog
    if name not in catalog.entities:
        raise NotFoundError(f"There is no entity {name}")
    return _entity(catalog, catalog.entities[name])


def _fields(fields: tuple[FieldSpec, ...]) -> list[FieldModel]:
    return [FieldModel(name=field.name, dtype=field.dtype, description=field.description) for field in fields]


def _read_by(catalog: Catalog, view: str) -> list[str]:
    return [
        service.name
        for service in catalog.services.values()
        if any(projection.view == view for projection in service.projections)
    ]


def _view(catalog: Catalog, view: ViewSpec) -> FeatureViewModel:
    return FeatureViewModel(
        name=view.name,
        kind="stored",
        entities=list(view.entities),
        join_keys=_fields(view.join_keys),
        features=_fields(view.features),
        ttl_seconds=view.ttl.total_seconds() if view.ttl else None,
        push_source=view.push_source,
        source=view.source.name if view.source else None,
        inputs=[],
        request_fields=[],
        version=view.tags.get("version"),
        freshness_sla=view.tags.get("freshness_sla"),
        owner=view.owner,
        description=view.description,
        tags=dict(view.tags),
        feature_services=_read_by(catalog, view.name),
        refusal=view.refusal,
    )


def _on_demand(catalog: Catalog, view: OnDemandSpec) -> FeatureViewModel:
    return FeatureViewModel(
        name=view.name,
        kind="on_demand",
        entities=[],
        join_keys=[],
        features=_fields(view.features),
        ttl_seconds=None,
        push_source=None,
        source=None,
        inputs=[str(reference) for reference in view.inputs],
        request_fields=_fields(view.request_fields),
        version=view.tags.get("version"),
        freshness_sla=view.tags.get("freshness_sla"),
        owner=view.owner,
        description=view.description,
        tags=dict(view.tags),
        feature_services=_read_by(catalog, view.name),
        refusal=view.refusal,
    )


def _other(catalog: Catalog, view: OtherView) -> FeatureViewModel:
    return FeatureViewModel(
        name=view.name,
        kind=view.kind,
        entities=[],
        join_keys=[],
        features=_fields(view.features),
        ttl_seconds=None,
        push_source=None,
        source=None,
        inputs=[],
        request_fields=[],
        version=view.tags.get("version"),
        freshness_sla=view.tags.get("freshness_sla"),
        owner=view.owner,
        description=view.description,
        tags=dict(view.tags),
        feature_services=_read_by(catalog, view.name),
        refusal=view.refusal,
    )


def _service(state: AppState, service: ServiceSpec) -> FeatureServiceModel:
    plan, refusal = state.plans.look_up(service.name)
    return FeatureServiceModel(
        name=service.name,
        features=[
            f"{projection.shown_as}:{name}" for projection in service.projections for name in projection.features
        ],
        join_keys=_fields(tuple(plan.join_keys.values())) if plan else [],
        request_fields=_fields(tuple(plan.request_fields.values())) if plan else [],
        servable=refusal is None,
        refusal=refusal,
        owner=service.owner,
        description=service.description,
        tags=dict(service.tags),
    )


def _entity(catalog: Catalog, entity: EntitySpec) -> EntityModel:
    return EntityModel(
        name=entity.name,
        join_key=entity.join_key,
        dtype=entity.dtype,
        owner=entity.owner,
        description=entity.description,
        tags=dict(entity.tags),
        feature_views=[view.name for view in catalog.views.values() if entity.name in view.entities],
    )
