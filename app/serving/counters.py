"""How often which view was served with which status: one counter increment per view, not one per value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from prometheus_client import Counter as PrometheusCounter

from app import metrics
from app.serving.shape import PRESENT


class ServedCounters:
    """The children of freshet_served_values_total for the outputs of one plan, looked up once.

    `views` are the outputs' views as shown, in answer order.
    """

    def __init__(self, views: Sequence[str]) -> None:
        self._views = tuple(views)
        self._widths = Counter(views)
        self._present = {view: metrics.SERVED_VALUES.labels(view, PRESENT) for view in self._widths}
        self._others: dict[tuple[str, str], PrometheusCounter] = {}

    def count(self, rows: int, odd: Mapping[int, Sequence[str]]) -> None:
        """Count `rows` rows in which every status is PRESENT, but for the rows of `odd`, which have these statuses."""
        others: Counter[tuple[str, str]] = Counter()
        for statuses in odd.values():
            others.update(
                (view, status) for view, status in zip(self._views, statuses, strict=True) if status != PRESENT
            )
        missing: Counter[str] = Counter()
        for key, number in others.items():
            missing[key[0]] += number
            child = self._others.get(key)
            if child is None:
                child = self._others[key] = metrics.SERVED_VALUES.labels(*key)
            child.inc(number)
        for view, width in self._widths.items():
            self._present[view].inc(width * rows - missing[view])
