"""How old what was served was: kept per request, and sorted into buckets four times a second for many rows at once.

One age per row of a request and stored view that the answer rests on: the time of the read less the row's event
timestamp. A row that was not shown, because there is none, it is of the future or it is too old, has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from app import hot_metrics, metrics

_SECOND = 1_000_000
_FEW = 50
"""Up to so many ages numpy costs more than it saves."""
_MOST_PENDING = 10_000
"""Of one plan. They cost a third of a millisecond, in which nobody is answered."""

_Ages = npt.NDArray[np.int64]


@dataclass(eq=False, slots=True)
class _View:
    """One stored view of a plan and what is yet to be counted of it. `sla` in seconds; None: it has none."""

    ages: hot_metrics.HotHistogram
    stale: hot_metrics.HotCounter | None
    sla: float | None
    moments: list[int] = field(default_factory=list)
    """Of rows that came one by one."""

    def count(self, times: Sequence[int], others: _Ages) -> None:
        """Count what is pending: the rows that came one by one, read at these `times`, and the ages of `others` in
        microseconds."""
        moments, self.moments = self.moments, []
        if len(others) or len(moments) > _FEW:
            ages = np.concatenate([others, _array(times) - _array(moments)]) / _SECOND
            shown = ages[ages >= 0]
            self.ages.observe_all(shown)
            stale = 0 if self.sla is None else int(np.count_nonzero(shown > self.sla))
        else:
            seconds = [(at - moment) / _SECOND for at, moment in zip(times, moments, strict=True) if moment <= at]
            for age in seconds:
                self.ages.observe(age)
            stale = 0 if self.sla is None else sum(age > self.sla for age in seconds)
        if self.stale is not None:
            self.stale.add(stale)


class ServedAges:
    """The ages of what one plan has served, by the names that its views have in the registry, each with its SLA.

    For the thread of the event loop alone. Counts outlive the plan: who has some pending is known to app.metrics.
    """

    def __init__(self, views: Iterable[tuple[str, timedelta | None]]) -> None:
        self._views = [
            _View(metrics.served_age(name), None, None)
            if sla is None
            else _View(metrics.served_age(name), metrics.served_stale(name), sla.total_seconds())
            for name, sla in views
        ]
        self._times: list[int] = []
        self._none = np.empty((len(self._views), 0), np.int64)
        self._tables: list[_Ages] = []
        """Ages by view, then row, of the rows that came together."""
        self._pending = 0
        self._most = _MOST_PENDING // max(1, len(self._views))

    def add_row(self, at: int, moments: Sequence[int]) -> None:
        """One row was read at time `at`: its event timestamps by view, `rules.HIDDEN` where it was not shown.
        Microseconds since 1970 (UTC)."""
        self._make_room(1)
        self._times.append(at)
        for view, moment in zip(self._views, moments, strict=True):
            view.moments.append(moment)

    def add(self, at: int, rows: int, moments: Sequence[Sequence[int]]) -> None:
        """So many rows were read at time `at`: their event timestamps by view, then row, as in `add_row`."""
        self._make_room(rows)
        every: list[int] = []
        for column in moments:
            every += column
        # At once: kept until the flush, Python's numbers would keep their memory from being used again.
        self._tables.append(at - _array(every).reshape(len(self._views), rows))

    def flush(self) -> None:
        """Count what is pending."""
        times, self._times = self._times, []
        tables, self._tables = self._tables, []
        self._pending = 0
        others = np.concatenate([self._none, *tables], axis=1)
        for view, ages in zip(self._views, others, strict=True):
            view.count(times, ages)

    def _make_room(self, rows: int) -> None:
        if not self._pending:
            hot_metrics.flush_once(self)
        elif self._pending + rows > self._most:
            self.flush()  # and again with the next flush of all
        self._pending += rows


def _array(moments: Sequence[int]) -> npt.NDArray[Any]:
    try:
        # A third of what floats take.
        return np.array(moments, np.int64)
    except OverflowError:  # a time that no clock has shown, which another writer has left
        return np.array(moments, np.float64)
