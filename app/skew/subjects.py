"""What there is to compare: every stored view, and every on-demand view that a feature service reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.domain import Catalog, FeatureRef, OnDemandSpec, ViewSpec, versioned
from app.errors import FreshetError
from app.planning.selection import REQUEST_TIMESTAMP


@dataclass(frozen=True)
class Subject:
    """One view: `name` is what metrics call it, `features` what is compared, `inputs` what an on-demand view is
    computed from, `views` the stored views that are read for it. With a `refusal` it cannot be compared."""

    name: str
    views: tuple[ViewSpec, ...] = ()
    features: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def references(self) -> list[str]:
        """All that is read, the inputs first."""
        return [*self.inputs, *self.features]

    @property
    def on_demand(self) -> bool:
        """Whether it is computed when it is read."""
        return bool(self.inputs)


def subjects(catalog: Catalog) -> Iterator[Subject]:
    """The views of a catalog, stored ones first. What is not read online has no other side, and is left out."""
    for view in catalog.views.values():
        if view.refusal is None:
            yield _stored(view)
    seen: set[str] = set()
    for service in catalog.services.values():
        for projection in service.projections:
            name = versioned(projection.view, projection.version)
            if service.refusal is None and projection.view in catalog.on_demand_views and name not in seen:
                seen.add(name)
                yield _on_demand(catalog, projection.view, projection.version)


def _stored(view: ViewSpec) -> Subject:
    if view.source is None:
        return Subject(view.name, refusal="it has no batch source, and so no history")
    return Subject(view.name, (view,), tuple(str(FeatureRef(view.name, field.name)) for field in view.features))


def _on_demand(catalog: Catalog, view: str, version: int | None) -> Subject:
    name = versioned(view, version)
    try:
        spec = _definition(catalog, view, version)
        sources = [_definition(catalog, one.view, one.version) for one in getattr(spec, "inputs", ())]
    except FreshetError as error:
        return Subject(name, refusal=error.detail)
    if not isinstance(spec, OnDemandSpec) or spec.refusal:
        return Subject(name, refusal=(spec and spec.refusal) or "the registry does not remember this version")
    asked = [field.name for field in spec.request_fields if field.name != REQUEST_TIMESTAMP]
    if asked:
        return Subject(name, refusal=f"only its callers know its request data: {', '.join(asked)}")
    views = {source.stored_as: source for source in sources if isinstance(source, ViewSpec)}
    if not views:
        return Subject(name, refusal="it reads no stored view")
    return Subject(
        name,
        tuple(views.values()),
        tuple(str(FeatureRef(view, field.name, version)) for field in spec.features),
        tuple(dict.fromkeys(map(str, spec.inputs))),
    )


def _definition(catalog: Catalog, view: str, version: int | None) -> ViewSpec | OnDemandSpec | None:
    """The definition that is meant; None where the registry has it no longer. Raises NotServableError."""
    if version is not None:
        return catalog.versions.get(versioned(view, version))
    return catalog.views.get(view) or catalog.on_demand_views.get(view)
