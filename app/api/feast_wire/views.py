"""The views that Feast's wire names, for what only a stored view can take."""

from __future__ import annotations

from app.api.feast_wire.route import UnknownViewError
from app.domain import Catalog, ViewSpec
from app.errors import NotServableError


def stored_view(catalog: Catalog, name: str, done: str) -> ViewSpec:
    """The stored view of that name, if it is kept online; `done` is what shall be done with it, such as "materialized".

    Raises UnknownViewError, and NotServableError for a view that is not stored, or not kept online.
    """
    view = catalog.views.get(name)
    if view is None:
        if name in catalog.on_demand_views or name in catalog.other_views:
            raise NotServableError(f"{name} cannot be {done}: it is no stored feature view")
        raise UnknownViewError(f"There is no feature view {name}. Known: {', '.join(catalog.views) or 'none'}")
    if view.refusal:
        raise NotServableError(f"Feature view {name} cannot be {done}: {view.refusal}")
    return view
