"""Who stands behind a view: what is computed from it, the feature services that read it, and their consumers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.contracts.ports import Reads
from app.domain import Catalog, FeatureRef, ServiceSpec


def views_behind(catalog: Catalog, view: str) -> frozenset[str]:
    """The names of the views that a read of `view` touches: itself, and what an on-demand view is computed from."""
    on_demand = catalog.on_demand_views.get(view)
    return frozenset({view, *(reference.view for reference in on_demand.inputs)} if on_demand else {view})


def views_of(catalog: Catalog, service: ServiceSpec) -> frozenset[str]:
    """The names of all views that a feature service touches, those behind on-demand views included."""
    return _behind(catalog, (projection.view for projection in service.projections))


def services_reading(catalog: Catalog, view: str) -> list[str]:
    """The feature services that touch a view, by name."""
    return [name for name, service in catalog.services.items() if view in views_of(catalog, service)]


def on_demand_reading(catalog: Catalog, view: str) -> list[str]:
    """The on-demand views that are computed from a view, by name."""
    names = catalog.on_demand_views
    return [name for name, spec in names.items() if any(reference.view == view for reference in spec.inputs)]


def views_read(catalog: Catalog, read: Reads) -> frozenset[str]:
    """The names of the views that this read touches by today's definitions; a service that is gone touches none."""
    if read.feature_service is not None:
        service = catalog.services.get(read.feature_service)
        return views_of(catalog, service) if service else frozenset()
    try:
        return views_behind(catalog, FeatureRef.parse(read.feature or "").view)
    except ValueError:
        return frozenset()


def readers_of(catalog: Catalog, view: str, reads: Iterable[Reads], since: datetime | None = None) -> list[Reads]:
    """The reads that touch a view, last seen at `since` or later; whoever was seen last comes first."""
    found = [read for read in reads if view in views_read(catalog, read) and (since is None or read.last_seen >= since)]
    return sorted(found, key=lambda read: read.last_seen, reverse=True)


def consumers(reads: Sequence[Reads]) -> list[str]:
    """The names of those who read, each once, by name."""
    return sorted({read.consumer for read in reads})


def _behind(catalog: Catalog, views: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(views_behind(catalog, view) for view in views))
