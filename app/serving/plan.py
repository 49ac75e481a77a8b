"""The serving plan: a feature service, or a list of features, compiled once from the catalog.

It says which views and features to read, under which join keys, for how long they hold, which on-demand transformations
to run, and the order of the output. app.serving.planner makes it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import timedelta

from app.domain import FieldSpec, OnDemandSpec
from app.errors import FieldError, InvalidRequestError
from app.serving.counters import ServedCounters
from app.serving.ports import PreparedRead, ViewRead
from app.serving.shape import AnswerShape

REQUEST_TIMESTAMP = "request_timestamp"
"""The request field that is filled with the time of the read when the caller leaves it out (rule 7)."""

_REALS = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class PlannedView(ViewRead):
    """One view to read, and what it is called in the response."""

    shown_as: str

    @functools.cached_property
    def max_age(self) -> int | None:
        """How long a value holds, in microseconds; None: for ever."""
        return None if self.view.ttl is None else self.view.ttl // timedelta(microseconds=1)


@dataclass(frozen=True)
class PlannedTransform:
    """One on-demand view to compute. `inputs` are (column given to the function, index of the view, feature)."""

    spec: OnDemandSpec
    shown_as: str
    inputs: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Output:
    """One feature of the response, of type `dtype`: of the stored view at `index`, where it has `position` among the
    features read, or of the on-demand view at `index`."""

    shown_as: str
    feature: str
    dtype: str
    index: int
    on_demand: bool
    position: int = 0

    @property
    def reference(self) -> str:
        """`view:feature`, as responses to POST name it."""
        return f"{self.shown_as}:{self.feature}"

    @property
    def full_name(self) -> str:
        """`view__feature`, Feast's full feature name."""
        return f"{self.shown_as}__{self.feature}"


@dataclass(frozen=True)
class ServingPlan:
    """Everything that a read needs to know. `join_keys` and `request_fields` are what the caller must give."""

    name: str
    views: tuple[PlannedView, ...]
    transforms: tuple[PlannedTransform, ...]
    outputs: tuple[Output, ...]
    join_keys: Mapping[str, FieldSpec]
    request_fields: Mapping[str, FieldSpec]
    read: PreparedRead = dataclass_field(compare=False)
    shape: AnswerShape = dataclass_field(compare=False)
    served: ServedCounters = dataclass_field(compare=False)

    def __post_init__(self) -> None:
        # Here, where plans are made, and not in the first request.
        for lazy in ("reals",) if self.transforms else ("reals", "stored", "picks"):
            getattr(self, lazy)

    @functools.cached_property
    def stored(self) -> list[tuple[int, int]]:
        """View and position of every output, where no output is on-demand."""
        return [(output.index, output.position) for output in self.outputs]

    @functools.cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Where the features of each view are, from and to, among those of all views one after the other."""
        ends = list(itertools.accumulate((len(planned.features) for planned in self.views), initial=0))
        return list(itertools.pairwise(ends))

    @functools.cached_property
    def picks(self) -> list[int]:
        """For every output its place among the features of all views, where no output is on-demand."""
        return [self.spans[output.index][0] + output.position for output in self.outputs]

    @functools.cached_property
    def reals(self) -> list[int]:
        """The places of the stored outputs that may hold NaN or an infinity, which JSON cannot say."""
        return [place for place, output in enumerate(self.outputs) if not output.on_demand and output.dtype in _REALS]

    def names(self, full: bool) -> list[str]:
        """The output names of a GET: bare, or `view__feature`. Raises InvalidRequestError where bare ones collide."""
        if full:
            return self.shape.full_names
        if self.shape.repeated_names:
            raise InvalidRequestError(
                f"More than one view has a feature named {', '.join(self.shape.repeated_names)}; "
                "ask with full_feature_names=true",
                [FieldError("full_feature_names", "must be true for this feature service")],
            )
        return self.shape.bare_names
