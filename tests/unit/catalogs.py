"""A small catalog for tests that need no Feast: two stored views, an on-demand one, and services over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.domain import (
    Catalog,
    EntityKey,
    FeatureRef,
    FieldSpec,
    OnDemandSpec,
    OnlineRow,
    Projection,
    ServiceSpec,
    ViewSpec,
)

USER = FieldSpec("user_id", "STRING")
SHOP = FieldSpec("shop_id", "INT64")

profile = ViewSpec("profile", (USER,), (FieldSpec("age", "INT64"), FieldSpec("name", "STRING")), timedelta(hours=1))
visits = ViewSpec("visits", (USER, SHOP), (FieldSpec("count", "INT64"), FieldSpec("name", "STRING")), None)


def _double(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    ages, factors = columns["profile__age"], columns["factor"]
    return {"scaled": [None if age is None else age * factor for age, factor in zip(ages, factors, strict=True)]}


scaled = OnDemandSpec(
    "scaled_age",
    (FieldSpec("scaled", "DOUBLE"),),
    (FeatureRef("profile", "age"),),
    (FieldSpec("factor", "DOUBLE"),),
    _double,
)


def service(name: str, *projections: Projection, refusal: str | None = None) -> ServiceSpec:
    """A feature service."""
    return ServiceSpec(name, projections, refusal)


def catalog(
    *services: ServiceSpec,
    views: Sequence[ViewSpec] = (profile, visits),
    on_demand: Sequence[OnDemandSpec] = (scaled,),
    versions: Mapping[str, ViewSpec | OnDemandSpec] | None = None,
) -> Catalog:
    """A catalog with these services, views, on-demand views and versions of them."""
    return Catalog(
        project="lab",
        entities={},
        views={view.name: view for view in views},
        on_demand_views={view.name: view for view in on_demand},
        services={entry.name: entry for entry in services},
        push_sources={},
        versions=versions or {},
    )


class FakeStore:
    """An online store in a dictionary: (view, key values) -> row. Remembers what it was asked."""

    def __init__(self, rows: Mapping[tuple[str, tuple[Any, ...]], tuple[datetime, Mapping[str, Any]]]) -> None:
        self._rows = rows
        self.reads: list[tuple[str, list[tuple[Any, ...]], tuple[str, ...]]] = []

    def read(self, view: ViewSpec, keys: Sequence[EntityKey], features: Sequence[str]) -> list[OnlineRow | None]:
        self.reads.append((view.name, [key.values for key in keys], tuple(features)))
        found = [self._rows.get((view.name, key.values)) for key in keys]
        return [row and OnlineRow(row[0], {name: row[1].get(name) for name in features}) for row in found]
