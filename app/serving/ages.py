"""How old what was served was: kept per request as it is, and worked out four times a second for many rows at once.

One age per row of a request and stored view that the answer rests on: the time of the read less the row's event
timestamp. A row that was not shown, because there is none, it is of the future or it is too old, has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import repeat

import numpy as np

from app import hot_metrics, metrics

_SECOND = 1_000_000
_FEW = 50
"""Up to so many ages numpy costs more than it saves."""
_MOST_PENDING = 10_000
"""Of one plan. They cost half a millisecond, for which nobody is answered."""


@dataclass(eq=False, slots=True)
class _View:
    """One stored view of a plan and what is yet to be counted of it. `sla` in seconds; None: it has none."""

    ages: hot_metrics.HotHistogram
    stale: hot_metrics.HotCounter | None
    sla: float | None
    moments: list[int | None] = field(default_factory=list)

    def count(self, times: Sequence[int]) -> None:
        """Count what is pending, read at these `times`."""
        moments, self.moments = self.moments, []
        if len(moments) <= _FEW:
            seconds = [(at - moment) / _SECOND for at, moment in zip(times, moments, strict=True) if moment is not None]
            for age in seconds:
                self.ages.observe(age)
            stale = 0 if self.sla is None else sum(age > self.sla for age in seconds)
        else:
            # As floats, in which None is NaN, nothing overflows, and microseconds are exact until the year 2255.
            ages = (np.array(times, np.float64) - np.array(moments, np.float64)) / _SECOND
            ages = ages[~np.isnan(ages)]
            self.ages.observe_all(ages)
            stale = 0 if self.sla is None else int(np.count_nonzero(ages > self.sla))
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
        self._most = _MOST_PENDING // max(1, len(self._views))

    def add_row(self, at: int, moments: Sequence[int | None]) -> None:
        """One row was read at time `at`: its event timestamps by view, None where it was not shown. Microseconds since
        1970 (UTC)."""
        self._make_room(1)
        self._times.append(at)
        for view, moment in zip(self._views, moments, strict=True):
            view.moments.append(moment)

    def add(self, at: int, rows: int, moments: Sequence[Sequence[int | None]]) -> None:
        """So many rows were read at time `at`: their event timestamps by view, then row, as in `add_row`."""
        self._make_room(rows)
        self._times.extend(repeat(at, rows))
        for view, column in zip(self._views, moments, strict=True):
            view.moments.extend(column)

    def flush(self) -> None:
        """Count what is pending."""
        times, self._times = self._times, []
        for view in self._views:
            view.count(times)

    def _make_room(self, rows: int) -> None:
        if not self._times:
            hot_metrics.flush_once(self)
        elif len(self._times) + rows > self._most:
            self.flush()  # and again with the next flush of all
