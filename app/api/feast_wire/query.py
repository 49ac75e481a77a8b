"""A request of Feast's client for online features, turned into one that serving understands."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from app.api.feast_wire.route import NameCollisionError, UnknownServiceError, UnknownViewError
from app.domain import Catalog, FeatureRef, OnStale
from app.errors import FieldError, InvalidRequestError, NotFoundError
from app.serving.plan import ServingPlan
from app.serving.refresh import PlanBook
from app.serving.request import OnlineRequest, check_columns

_MOST_EXACT = 2**53


class FeastQuery(msgspec.Struct):
    """Which features of which entities; a feature service wins over a list of features, as in Feast."""

    entities: Annotated[
        dict[str, list[Any]],
        msgspec.Meta(description="Join key or request field -> one value per row. Other columns are ignored."),
    ]
    feature_service: str | None = None
    features: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False


def find_plan(plans: PlanBook, query: FeastQuery) -> ServingPlan:
    """The plan for what is asked.

    Raises UnknownServiceError, UnknownViewError, NameCollisionError, and what compiling a plan raises.
    """
    plan = _compiled(plans, query)
    if not query.full_feature_names and plan.shape.repeated_names:
        names = ", ".join(plan.shape.repeated_names)
        raise NameCollisionError(f"More than one view has a feature named {names}; ask with full_feature_names")
    return plan


def _compiled(plans: PlanBook, query: FeastQuery) -> ServingPlan:
    if query.feature_service:
        if query.feature_service not in plans.catalog.services:
            raise UnknownServiceError(_no_service(plans.catalog, query.feature_service))
        return plans.service(query.feature_service)
    if not query.features:
        message = "give feature_service or features"
        raise InvalidRequestError(message.capitalize(), [FieldError("features", message)])
    try:
        return plans.features(query.features)
    except NotFoundError as error:
        if any(not _has_view(plans.catalog, text) for text in query.features):
            raise UnknownViewError(error.detail, error.errors) from None
        raise


def check(catalog: Catalog, plan: ServingPlan, query: FeastQuery, max_entities: int) -> OnlineRequest:
    """The request for the plan, its entities in the order in which the caller gave them. Raises InvalidRequestError."""
    entities: dict[str, list[Any]] = {}
    request_data: dict[str, list[Any]] = {}
    for name, values in query.entities.items():
        key = name
        if name not in plan.join_keys and name in catalog.entities:
            key = catalog.entities[name].join_key
        if name in plan.request_fields:
            request_data[name] = values
        elif key in plan.join_keys:
            entities[key] = _as_keys(values, plan.join_keys[key].dtype)
    request = check_columns(plan, entities, request_data, max_entities, None, OnStale.NULL)
    if entities or request_data:
        return dataclasses.replace(request, entities={name: request.entities[name] for name in entities})
    # Without any key Feast takes the number of rows from whatever column there is.
    rows = max((len(values) for values in query.entities.values()), default=1)
    if not 0 < rows <= max_entities:
        limit = f"between 1 and {max_entities} rows (FRESHET_MAX_ENTITIES)"
        raise InvalidRequestError("The request does not fit the features asked for", [FieldError("entities", limit)])
    return dataclasses.replace(request, rows=rows)


def _as_keys(values: Sequence[Any], dtype: str) -> list[Any]:
    """Join key values as Feast reads them: whole numbers and digits for an integer, numbers for a string."""
    if dtype in ("INT32", "INT64") and set(map(type, values)) != {int}:
        return [_integer(value) for value in values]
    if dtype == "STRING" and int in set(map(type, values)):
        return [str(value) if type(value) is int else value for value in values]
    return list(values)


def _integer(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MOST_EXACT:
        return int(value)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii() and len(value) <= 20:
        return int(value)
    return value


def _no_service(catalog: Catalog, name: str) -> str:
    known: Mapping[str, Any] = catalog.services
    return f"There is no feature service {name}. Known: {', '.join(known) or 'none'}"


def _has_view(catalog: Catalog, reference: str) -> bool:
    try:
        view = FeatureRef.parse(reference).view
    except ValueError:
        return True
    return view in catalog.views or view in catalog.on_demand_views or view in catalog.other_views
