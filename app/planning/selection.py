"""What a feature service, or a list of features, asks for: which views and features under which join keys, which
on-demand transformations, and the order of the output. app.planning.select makes it; reads and exports work from it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from app.domain import FieldSpec, OnDemandSpec, ViewSpec

REQUEST_TIMESTAMP = "request_timestamp"
"""The request field that is filled with the time of the read, in an export with the row's own, when the caller leaves
it out (rule 7)."""


@dataclass(frozen=True)
class ViewRead:
    """One view to read: which of its features, and which request columns make up its key, in the order of its join
    keys."""

    view: ViewSpec
    features: tuple[str, ...]
    key_columns: tuple[str, ...]


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
class Selection:
    """Everything that the registry says about one question. `join_keys` and `request_fields` are what the caller must
    give, by the name of the column."""

    name: str
    views: tuple[PlannedView, ...]
    transforms: tuple[PlannedTransform, ...]
    outputs: tuple[Output, ...]
    join_keys: Mapping[str, FieldSpec]
    request_fields: Mapping[str, FieldSpec]
