"""A definition as a hash: two definitions that may give other values have other hashes."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from app.domain import Catalog, FieldSpec, OnDemandSpec, Projection, ViewSpec


def definition_hash(spec: ViewSpec | OnDemandSpec) -> str:
    """SHA-256, in hex, over what decides the values of a view. Who owns it, what it is for, and whether it is kept
    online are not part of it; neither are the definitions of the views that an on-demand one reads."""
    decides = _on_demand(spec) if isinstance(spec, OnDemandSpec) else _stored(spec)
    return hashlib.sha256(orjson.dumps(decides, option=orjson.OPT_SORT_KEYS)).hexdigest()


def registry_hash(catalog: Catalog) -> str:
    """SHA-256, in hex, over all definitions of a registry that may decide values, feature services included."""
    decides = {
        "views": {name: definition_hash(view) for name, view in catalog.views.items()},
        "on_demand_views": {name: definition_hash(view) for name, view in catalog.on_demand_views.items()},
        "services": {name: [_projection(one) for one in spec.projections] for name, spec in catalog.services.items()},
    }
    return hashlib.sha256(orjson.dumps(decides, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _projection(projection: Projection) -> list[Any]:
    return [projection.shown_as, projection.view, list(projection.features), dict(projection.join_key_map)]


def _stored(view: ViewSpec) -> dict[str, Any]:
    source = view.source
    return {
        "kind": "feature_view",
        "name": view.name,
        "join_keys": _fields(view.join_keys),
        "features": _fields(view.features),
        "ttl_microseconds": None if view.ttl is None else round(view.ttl.total_seconds() * 1_000_000),
        "source": source
        and {
            "name": source.name,
            "kind": source.kind,
            "location": source.location,
            "timestamp_field": source.timestamp_field,
            "created_timestamp_column": source.created_timestamp_column,
            "field_mapping": dict(source.field_mapping),
        },
    }


def _on_demand(view: OnDemandSpec) -> dict[str, Any]:
    return {
        "kind": "on_demand_feature_view",
        "name": view.name,
        "features": _fields(view.features),
        "inputs": [str(reference) for reference in view.inputs],
        "request_fields": _fields(view.request_fields),
        "source": view.source,
    }


def _fields(fields: tuple[FieldSpec, ...]) -> list[list[str]]:
    return [[entry.name, entry.dtype] for entry in fields]
