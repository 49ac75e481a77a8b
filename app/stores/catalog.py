"""The registry as a Catalog: Feast's objects turned into the domain's, and its views kept for the store adapters."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
from feast import FeatureService, FeatureView, PushSource
from feast.base_feature_view import BaseFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.registry.sql import SqlRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import from_feast_to_pyarrow_type

from app.domain import (
    Catalog,
    EntitySpec,
    FeatureRef,
    FieldSpec,
    OnDemandSpec,
    OtherView,
    Projection,
    ServiceSpec,
    SourceSpec,
    Transform,
    ViewSpec,
)
from app.stores.repo import FeastRepo
from app.stores.versions import ViewVersions, read_history, why_not_by_version

_DUMMY = "__dummy"


@dataclass(frozen=True)
class CatalogSnapshot:
    """A catalog, and Feast's own view objects by `ViewSpec.stored_as`, read at one moment."""

    catalog: Catalog
    feast_views: Mapping[str, FeatureView]


class RegistryReader:
    """Reads the registry and tells cheaply whether it has changed. Not thread-safe: one caller at a time."""

    def __init__(self, repo: FeastRepo) -> None:
        self._registry = repo.store.registry
        self._project = repo.project
        self._why_not_by_version = why_not_by_version(repo)

    def fingerprint(self) -> str:
        """A text that changes when the registry does. Raises what the registry's storage raises.

        Feast's SQL registry keeps the time of its last change in whole seconds, so a change may hide behind another
        in the same second: until that second is well past, every look counts as new.
        """
        if isinstance(self._registry, SqlRegistry):
            updated = self._registry._get_last_updated_metadata(self._project)
            moment = updated.timestamp() if updated else 0.0
            return f"{moment}" if time.time() - moment > 2 else f"{moment}/{time.time()}"
        self._registry.refresh(self._project)
        return hashlib.sha256(self._registry.proto().SerializeToString(deterministic=True)).hexdigest()

    def read(self) -> CatalogSnapshot:
        """Everything that the registry holds for the project."""
        views = list(self._registry.list_all_feature_views(self._project))
        stored = [view for view in views if isinstance(view, FeatureView)]
        entities = {entity.name: entity for entity in self._registry.list_entities(self._project)}
        sources = self._registry.list_data_sources(self._project)
        specs = {view.name: view_spec(view) for view in _by_name(stored)}
        on_demand = {view.name: _on_demand(view) for view in _by_name(views) if isinstance(view, OnDemandFeatureView)}
        history = read_history(self._registry, self._project)
        served: dict[str, ViewSpec | OnDemandSpec] = {**specs, **on_demand}
        known = [view for view in _by_name(views) if view.name in served]
        versions = ViewVersions(self._registry, known, served, history, self._why_not_by_version, _spec)
        catalog = Catalog(
            project=self._project,
            entities={
                name: EntitySpec(
                    name, entity.join_key, entity.value_type.name, entity.description, entity.owner, dict(entity.tags)
                )
                for name, entity in sorted(entities.items())
                if name != _DUMMY
            },
            views=specs,
            on_demand_views=on_demand,
            services={
                service.name: _service(service)
                for service in _by_name(self._registry.list_feature_services(self._project))
            },
            push_sources=_push_sources(sources, specs),
            versions=versions.specs(),
            other_views={view.name: _other(view) for view in _by_name(views) if view.name not in served},
        )
        return CatalogSnapshot(catalog, versions.with_feast_views({view.name: view for view in stored}))


def _by_name(objects: Iterable[Any]) -> list[Any]:
    return sorted(objects, key=lambda entry: entry.name)


def _fields(fields: Iterable[Any]) -> tuple[FieldSpec, ...]:
    return tuple(
        FieldSpec(field.name, field.dtype.to_value_type().name, field.description or "", dict(field.tags or {}))
        for field in fields
    )


def _spec(view: BaseFeatureView) -> ViewSpec | OnDemandSpec:
    return _on_demand(view) if isinstance(view, OnDemandFeatureView) else view_spec(view)


def view_spec(view: FeatureView) -> ViewSpec:
    """Feast's view as the domain's."""
    stream = getattr(view, "stream_source", None)
    return ViewSpec(
        name=view.name,
        join_keys=tuple(field for field in _fields(view.entity_columns) if not field.name.startswith(_DUMMY)),
        features=_fields(view.features),
        # Feast's ttl 0 means no limit (rule 1).
        ttl=view.ttl if view.ttl and view.ttl > timedelta(0) else None,
        entities=tuple(name for name in view.entities if name != _DUMMY),
        source=_source(view.batch_source) if view.batch_source is not None else None,
        push_source=stream.name if isinstance(stream, PushSource) else None,
        online=view.online,
        enabled=view.enabled,
        version=view.current_version_number,
        description=view.description,
        owner=view.owner,
        tags=dict(view.tags),
    )


def _other(view: BaseFeatureView) -> OtherView:
    return OtherView(
        view.name, type(view).__name__, _fields(view.features), view.description, view.owner, dict(view.tags)
    )


def _source(source: DataSource) -> SourceSpec:
    return SourceSpec(
        name=source.name,
        kind=type(source).__name__,
        timestamp_field=source.timestamp_field,
        created_timestamp_column=source.created_timestamp_column or None,
        field_mapping=dict(source.field_mapping or {}),
        location=_location(source),
    )


def _location(source: DataSource) -> str:
    if isinstance(source, FileSource):
        return str(source.path)
    return source.get_table_query_string() if isinstance(source, PostgreSQLSource) else ""


def _on_demand(view: OnDemandFeatureView) -> OnDemandSpec:
    request_fields = [FieldSpec(name, value_type.name) for name, value_type in view.get_request_data_schema().items()]
    return OnDemandSpec(
        name=view.name,
        features=_fields(view.features),
        inputs=tuple(
            FeatureRef(projection.name, feature.name, projection.version_tag)
            for projection in view.source_feature_view_projections.values()
            for feature in projection.features
        ),
        request_fields=tuple(request_fields),
        transform=_transform(view),
        limitation=_limitation(view),
        source=_function_text(view),
        enabled=view.enabled,
        description=view.description,
        owner=view.owner,
        tags=dict(view.tags),
    )


def _function_text(view: OnDemandFeatureView) -> str:
    """What decides the values of an on-demand view beside its inputs. Kinds of transformation that are no function of
    Python have no text; they are not served."""
    text = getattr(view.feature_transformation, "udf_string", "") or ""
    return f"{view.mode}{' singleton' if view.singleton else ''}\n{text}"


def _limitation(view: OnDemandFeatureView) -> str | None:
    if view.write_to_online_store:
        return "it writes its result to the online store (write_to_online_store), which is not supported yet"
    if view.aggregations:
        return "it aggregates instead of transforming, which is not supported"
    if any(projection.join_key_map for projection in view.source_feature_view_projections.values()):
        return "it reads a source under renamed join keys, which is not supported"
    if view.mode not in ("python", "pandas"):
        return f"its mode {view.mode} is not supported"
    return None


def _transform(view: OnDemandFeatureView) -> Transform:
    """Feast's own transformation, called as Feast's online path calls it, so that it computes what training saw.

    Columns come in as `view__feature` (Feast adds the bare names), request fields under their own names.
    """
    names = [feature.name for feature in view.features]
    types = {
        f"{projection.name}__{feature.name}": from_feast_to_pyarrow_type(feature.dtype)
        for projection in view.source_feature_view_projections.values()
        for feature in projection.features
    }

    def by_rows(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        # A singleton function sees one row at a time; given more it would silently take the first.
        rows = zip(*columns.values(), strict=True)
        results = [view.transform_dict({n: [v] for n, v in zip(columns, row, strict=True)}) for row in rows]
        return {name: [result.get(name) for result in results] for name in names}

    def by_columns(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        result = view.transform_dict({name: list(values) for name, values in columns.items()})
        return {name: list(result[name]) for name in names if name in result}

    def by_table(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        # Typed columns: one that is all null must reach the function as the type that training gives it.
        arrays = {name: _array(list(values), types.get(name)) for name, values in columns.items()}
        table = view.transform_arrow(pa.table(arrays))
        return {name: table[name].to_pylist() for name in names if name in table.column_names}

    if view.mode == "python":
        return by_rows if view.singleton else by_columns
    return by_table


def _array(values: list[Any], dtype: pa.DataType | None) -> pa.Array:
    try:
        return pa.array(values, dtype)
    except (pa.ArrowException, TypeError):
        # JSON is text offline and a decoded value online, as in Feast's own online path.
        return pa.array(values)


def _service(service: FeatureService) -> ServiceSpec:
    return ServiceSpec(
        name=service.name,
        projections=tuple(
            Projection(
                view=projection.name,
                features=tuple(feature.name for feature in projection.features),
                alias=projection.name_alias,
                version=projection.version_tag,
                join_key_map=dict(projection.join_key_map),
            )
            for projection in service.feature_view_projections
        ),
        refusal="it reads precomputed vectors (precompute_online)" if service.precompute_online else None,
        description=service.description,
        owner=service.owner,
        tags=dict(service.tags),
    )


def _push_sources(sources: Iterable[DataSource], views: Mapping[str, ViewSpec]) -> dict[str, tuple[str, ...]]:
    names = sorted(source.name for source in sources if isinstance(source, PushSource))
    return {name: tuple(view.name for view in views.values() if view.push_source == name) for name in names}
