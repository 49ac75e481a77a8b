"""How old what was served was: kept per request, and sorted into buckets four times a second for many rows at once.

One age per row of a request and stored view that the answer rests on: the time of the read less the row's event
timestamp. A row that was not shown, because there is none, it is of the future or it is too old, has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from app import hot_metrics, metrics

_SECOND = 1_000_000
_FEW = 100
"""Up to so many ages numpy costs more than it saves."""
_MOST_PENDING = 10_000
"""Of one plan. They cost a third of a millisecond, in which nobody is answered."""

_Ages = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _View:
    """One stored view of a plan. `sla` in seconds; None: it has none."""

    ages: hot_metrics.HotHistogram
    stale: hot_metrics.HotCounter | None
    sla: float | None

    def count(self, times: Sequence[int], moments: Sequence[int], others: _Ages) -> None:
        """Count rows: those with these `moments`, read at these `times`, and `others` by their ages in microseconds."""
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
        self._moments: list[int] = []
        """Of the rows that came one by one: those of all views of a row, then those of the next one."""
        self._none = np.empty((len(self._views), 0), np.int64)
        self._tables: list[_Ages] = []
        """Ages by view, then row, of the rows that came together."""
        self._pending = 0
        self._most = _MOST_PENDING // max(1, len(self._views))

    def add_row(self, at: int, moments: Sequence[int]) -> None:
        """One row was read at time `at`: its event timestamps by view, `rules.HIDDEN` where it was not shown.
        Microseconds since 1970 (UTC)."""
        if not 0 < self._pending < self._most:
            self._make_room()
        self._pending += 1
        self._times.append(at)
        self._moments += moments

    def add(self, at: int, rows: int, moments: Sequence[Sequence[int]]) -> None:
        """So many rows were read at time `at`: their event timestamps by view, then row, as in `add_row`."""
        if not 0 < self._pending < self._most:
            self._make_room()
        self._pending += rows
        every: list[int] = []
        for column in moments:
            every += column
        # At once: kept until the flush, Python's numbers would keep their memory from being used again.
        self._tables.append(at - _array(every).reshape(len(self._views), rows))

    def flush(self) -> None:
        """Count what is pending."""
        times, self._times = self._times, []
        moments, self._moments = self._moments, []
        tables, self._tables = self._tables, []
        self._pending = 0
        others = np.concatenate([self._none, *tables], axis=1)
        for place, (view, ages) in enumerate(zip(self._views, others, strict=True)):
            view.count(times, moments[place :: len(self._views)], ages)

    def _make_room(self) -> None:
        if self._pending:
            self.flush()  # and again with the next flush of all
        else:
            hot_metrics.flush_once(self)


def _array(moments: Sequence[int]) -> npt.NDArray[Any]:
    try:
        # A third of what floats take.
        return np.array(moments, np.int64)
    except OverflowError:  # a time that no clock has shown, which another writer has left
        return np.array(moments, np.float64)
