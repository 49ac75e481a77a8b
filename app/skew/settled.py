"""Whether a row of the offline store must be online by now: what is only late is no skew."""

from __future__ import annotations

import functools

from app.domain import ViewSpec, to_moment
from app.freshness.ports import OnlineSampler, WriteMark
from app.skew.offline import RowTimes
from app.skew.ports import Materialized


class Settled:
    """The question for the rows of one view, during one look at it. Blocks; raises StoreUnavailableError."""

    def __init__(self, view: ViewSpec, materialized: Materialized, marks: OnlineSampler | None) -> None:
        self._view = view
        self._materialized = materialized
        self._marks = marks

    def is_so(self, times: RowTimes, is_there: bool) -> bool:
        """Whether the row with these times must be online; `is_there`: a row of the same event timestamp is.

        A materialization that has succeeded must have brought it there. Views that are pushed to need none: who pushes
        writes both stores, and where the online one has a row of this time, it is this row. Unless the offline one is
        younger than all that was ever written online.
        """
        moment, created = times
        if moment is None:
            return False
        event, made = to_moment(moment), None if created is None else to_moment(created)
        if self._materialized.covers(self._view, [(event, made)])[0]:
            return True
        mark = self._mark if is_there and self._view.push_source is not None else None
        return mark is not None and (made or event) <= mark.last_write

    @functools.cached_property
    def _mark(self) -> WriteMark | None:
        return None if self._marks is None else self._marks.marks([self._view]).get(self._view.name)
