"""From the catalog to serving plans: whatever can be decided before a request comes is decided here.

What the rules of this service cannot serve is refused here, by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.domain import Catalog, OnDemandSpec, ServiceSpec, ViewSpec
from app.errors import NotServableError
from app.planning.select import select_features, select_service
from app.planning.selection import Output, Selection
from app.serving.ages import ServedAges
from app.serving.counters import ServedCounters
from app.serving.plan import ServingPlan
from app.serving.ports import OnlineReader
from app.serving.shape import AnswerShape
from app.sla import sla_of


def compile_service(catalog: Catalog, service: ServiceSpec, reader: OnlineReader) -> ServingPlan:
    """The plan of a feature service. Raises as select_service does, and NotServableError for one that reads
    precomputed vectors."""
    if service.refusal:
        raise NotServableError(f"Feature service {service.name} cannot be served: {service.refusal}")
    return _compile(select_service(catalog, service, _why_not_online), reader)


def compile_features(catalog: Catalog, references: Sequence[str], reader: OnlineReader) -> ServingPlan:
    """The plan of a list of `view:feature` references. Raises as select_features does."""
    return _compile(select_features(catalog, references, _why_not_online), reader)


def _why_not_online(spec: ViewSpec | OnDemandSpec) -> str | None:
    return spec.refusal


def _compile(wanted: Selection, reader: OnlineReader) -> ServingPlan:
    return ServingPlan(
        wanted.name,
        wanted.views,
        wanted.transforms,
        wanted.outputs,
        wanted.join_keys,
        wanted.request_fields,
        reader.prepare(wanted.views),
        AnswerShape(
            wanted.name,
            [(output.shown_as, output.feature) for output in wanted.outputs],
            [planned.shown_as for planned in wanted.views],
        ),
        ServedCounters([_registered(wanted, output) for output in wanted.outputs]),
        ServedAges((planned.view.name, sla_of(planned.view.tags).sla) for planned in wanted.views),
    )


def _registered(wanted: Selection, output: Output) -> str:
    """What the registry calls the view of an output."""
    return wanted.transforms[output.index].spec.name if output.on_demand else wanted.views[output.index].view.name
