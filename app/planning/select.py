"""From the catalog to a selection: which views, features, keys and transformations a question means.

What may not be read is refused here, by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from app.domain import (
    Catalog,
    FeatureRef,
    FieldSpec,
    OnDemandSpec,
    OtherView,
    Projection,
    ServiceSpec,
    ViewSpec,
    versioned,
)
from app.errors import FieldError, InvalidRequestError, NotFoundError, NotServableError
from app.planning.selection import Output, PlannedTransform, PlannedView, Selection

WhyNot = Callable[[ViewSpec | OnDemandSpec], str | None]
"""Why a definition may not be read, or None."""


def select_service(catalog: Catalog, service: ServiceSpec, why_not: WhyNot) -> Selection:
    """What a feature service asks for, its outputs in the order in which it declares them.

    Raises NotFoundError for a view or feature that the registry lacks, NotServableError for what may not be read.
    """
    return _Selecting(catalog, why_not).select(service.name, service.projections)


def select_features(catalog: Catalog, references: Sequence[str], why_not: WhyNot) -> Selection:
    """What a list of `view:feature` references asks for, in its order. Raises as select_service does, and
    InvalidRequestError for text that is no reference or is repeated."""
    faults: list[FieldError] = []
    wanted: dict[FeatureRef, Projection] = {}
    for position, text in enumerate(references):
        try:
            reference = FeatureRef.parse(text)
        except ValueError as error:
            faults.append(FieldError(f"features[{position}]", str(error)))
            continue
        if reference in wanted:
            faults.append(FieldError(f"features[{position}]", f"{text} is asked for twice"))
        wanted[reference] = Projection(reference.view, (reference.feature,), version=reference.version)
    if faults:
        raise InvalidRequestError("The list of features is not valid", faults)
    return _Selecting(catalog, why_not).select("", wanted.values())


class _Selecting:
    """Collects views and transformations while it walks the projections; one instance per selection."""

    def __init__(self, catalog: Catalog, why_not: WhyNot) -> None:
        self._catalog = catalog
        self._why_not = why_not
        self._views: list[tuple[ViewSpec, str, dict[str, None], tuple[str, ...]]] = []
        self._transforms: list[PlannedTransform] = []
        self._request_fields: dict[str, FieldSpec] = {}

    def select(self, name: str, projections: Iterable[Projection]) -> Selection:
        found = [output for projection in projections for output in self._outputs(projection)]
        places = [{feature: place for place, feature in enumerate(features)} for _, _, features, _ in self._views]
        outputs = [
            output if output.on_demand else dataclasses.replace(output, position=places[output.index][output.feature])
            for output in found
        ]
        views = tuple(PlannedView(view, tuple(features), keys, shown) for view, shown, features, keys in self._views)
        join_keys: dict[str, FieldSpec] = {}
        for planned in views:
            for column, field in zip(planned.key_columns, planned.view.join_keys, strict=True):
                other = join_keys.setdefault(column, FieldSpec(column, field.dtype))
                if other.dtype != field.dtype:
                    raise NotServableError(
                        f"Join key {column} is {other.dtype} in one view and {field.dtype} in another"
                    )
        return Selection(name, views, tuple(self._transforms), tuple(outputs), join_keys, dict(self._request_fields))

    def _outputs(self, projection: Projection) -> list[Output]:
        spec = self._servable(projection)
        types = {field.name: field.dtype for field in spec.features}
        missing = [feature for feature in projection.features if feature not in types]
        if missing:
            name = versioned(projection.view, projection.version)
            known = ", ".join(field.name for field in spec.features)
            raise NotFoundError(f"Feature view {name} has no feature {', '.join(missing)}. Known: {known}")
        if isinstance(spec, OnDemandSpec):
            index, on_demand = self._transform(spec, projection), True
        else:
            index, on_demand = self._view(projection, projection.features), False
        shown = projection.shown_as
        return [Output(shown, feature, types[feature], index, on_demand) for feature in projection.features]

    def _servable(self, projection: Projection) -> ViewSpec | OnDemandSpec:
        """The definition that a projection reads, the one in force or the version that it pins; refused by name where
        it may not be read this way."""
        spec = self._definition(projection)
        why_not = spec.refusal if isinstance(spec, OtherView) else self._why_not(spec)
        if why_not or isinstance(spec, OtherView):
            kind = "On-demand feature view" if isinstance(spec, OnDemandSpec) else "Feature view"
            name = versioned(projection.view, projection.version)
            raise NotServableError(f"{kind} {name} cannot be served: {why_not}")
        return spec

    def _definition(self, projection: Projection) -> ViewSpec | OnDemandSpec | OtherView:
        name = projection.view
        if name in self._catalog.other_views:
            return self._catalog.other_views[name]
        spec = self._catalog.views.get(name) or self._catalog.on_demand_views.get(name)
        if spec is None:
            raise NotFoundError(f"The registry has no feature view {name}")
        if projection.version is None:
            return spec
        pinned = self._catalog.versions.get(versioned(name, projection.version))
        if pinned is None:
            known = ", ".join(known for known in self._catalog.versions if known.startswith(f"{name}@"))
            raise NotFoundError(f"Feature view {name} has no version v{projection.version}. Known: {known or 'none'}")
        return pinned

    def _stored_view(self, projection: Projection) -> ViewSpec:
        view = self._servable(projection)
        if isinstance(view, OnDemandSpec):
            raise NotServableError(f"On-demand feature view {view.name} cannot be an input of another one")
        return view

    def _view(self, projection: Projection, features: Iterable[str]) -> int:
        view = self._stored_view(projection)
        keys = tuple(projection.join_key_map.get(field.name, field.name) for field in view.join_keys)
        for index, (known, shown_as, wanted, known_keys) in enumerate(self._views):
            if (known, shown_as, known_keys) == (view, projection.shown_as, keys):
                wanted.update(dict.fromkeys(features))
                return index
        if any(shown_as == projection.shown_as for _, shown_as, _, _ in self._views):
            raise NotServableError(f"{projection.shown_as} is read under two keys; give one of them a name (with_name)")
        self._views.append((view, projection.shown_as, dict.fromkeys(features), keys))
        return len(self._views) - 1

    def _transform(self, spec: OnDemandSpec, projection: Projection) -> int:
        for index, planned in enumerate(self._transforms):
            if (planned.spec.name, planned.shown_as) == (spec.name, projection.shown_as):
                return index
        inputs = []
        for reference in spec.inputs:
            source = Projection(reference.view, (reference.feature,), version=reference.version)
            if self._stored_view(source).feature(reference.feature) is None:
                raise NotFoundError(f"On-demand feature view {spec.name} needs {reference}, which the registry lacks")
            inputs.append(
                (f"{reference.view}__{reference.feature}", self._view(source, [reference.feature]), reference.feature)
            )
        self._request_fields.update({field.name: field for field in spec.request_fields})
        self._transforms.append(PlannedTransform(spec, projection.shown_as, tuple(inputs)))
        return len(self._transforms) - 1
