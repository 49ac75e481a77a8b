"""What an export may be asked for: a feature service, or a list of features."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain import DISABLED, Catalog, OnDemandSpec, ViewSpec
from app.errors import InvalidRequestError, NotFoundError
from app.planning.select import select_features, select_service
from app.planning.selection import Selection


def choose(catalog: Catalog, service: str | None, features: Sequence[str] | None) -> Selection:
    """What is to be exported: exactly one of both is given.

    A view need not be kept online for it. Raises InvalidRequestError, NotFoundError for what the registry lacks, and
    NotServableError for what cannot be computed by the rules.
    """
    if bool(service) == bool(features):
        raise InvalidRequestError("Name either a feature service or features")
    if not service:
        return select_features(catalog, features or (), _why_not)
    spec = catalog.services.get(service)
    if spec is None:
        known = ", ".join(catalog.services) or "none yet; run `freshet apply`"
        raise NotFoundError(f"There is no feature service {service}. Known: {known}")
    return select_service(catalog, spec, _why_not)


def _why_not(spec: ViewSpec | OnDemandSpec) -> str | None:
    if isinstance(spec, OnDemandSpec):
        return spec.refusal
    if not spec.enabled:
        return DISABLED
    return None if spec.source else "it has no batch source, and so no history"
