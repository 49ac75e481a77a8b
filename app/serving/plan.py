"""The serving plan: a feature service, or a list of features, compiled once from the catalog for the hot path.

app.serving.planner makes it.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from app.errors import FieldError, InvalidRequestError
from app.planning.selection import Selection
from app.serving.ages import ServedAges
from app.serving.counters import ServedCounters
from app.serving.ports import PreparedRead
from app.serving.shape import AnswerShape

_REALS = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class ServingPlan(Selection):
    """Everything that a read needs to know: what is asked for, and what was worked out from it beforehand."""

    read: PreparedRead = dataclass_field(compare=False)
    shape: AnswerShape = dataclass_field(compare=False)
    served: ServedCounters = dataclass_field(compare=False)
    ages: ServedAges = dataclass_field(compare=False)

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
