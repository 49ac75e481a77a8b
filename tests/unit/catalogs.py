"""A small catalog for tests that need no Feast: two stored views, an on-demand one, and services over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain import (
    Catalog,
    FeatureRef,
    FieldSpec,
    OnDemandSpec,
    Projection,
    ServiceSpec,
    ViewSpec,
)
from app.planning.selection import ViewRead
from app.serving.ports import PreparedRead, ViewColumns

USER = FieldSpec("user_id", "STRING")
SHOP = FieldSpec("shop_id", "INT64")

profile = ViewSpec("profile", (USER,), (FieldSpec("age", "INT64"), FieldSpec("name", "STRING")), timedelta(hours=1))
meter = ViewSpec("meter", (USER,), (FieldSpec("load", "DOUBLE"), FieldSpec("share", "FLOAT")), None)
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
    views: Sequence[ViewSpec] = (profile, visits, meter),
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

    def __init__(
        self, rows: Mapping[tuple[str, tuple[Any, ...]], tuple[datetime, Mapping[str, Any]]] | None = None
    ) -> None:
        self._rows = rows or {}
        self.reads: list[tuple[str, list[tuple[Any, ...]], tuple[str, ...]]] = []

    def prepare(self, views: Sequence[ViewRead]) -> FakeRead:
        """The read of these views."""
        return FakeRead(self, views)

    def columns(self, read: ViewRead, entities: Mapping[str, Sequence[Any]]) -> ViewColumns:
        """What the dictionary holds for the rows of a request."""
        keys = list(zip(*(entities[column] for column in read.key_columns), strict=True))
        self.reads.append((read.view.name, keys, read.features))
        found = [self._rows.get((read.view.name, key)) for key in keys]
        values = [[row[1].get(feature) if row else None for row in found] for feature in read.features]
        gaps = [[row for row, value in enumerate(column) if value is None] for column in values]
        return ViewColumns([to_microseconds(row[0]) if row else None for row in found], values, gaps)


class FakeRead(PreparedRead):
    """Implements app.serving.ports.PreparedRead."""

    def __init__(self, store: FakeStore, views: Sequence[ViewRead]) -> None:
        self._store = store
        self._views = views

    async def fetch(self, entities: Mapping[str, Sequence[Any]], rows: int) -> list[ViewColumns]:
        """Columns from the dictionary."""
        return [self._store.columns(view, entities) for view in self._views]


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
