"""How often which view was served with which status: one count per view and request, not one per value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from app import metrics
from app.serving.shape import PRESENT


class ServedCounters:
    """The children of freshet_served_values_total for the outputs of one plan, looked up once.

    `views` are the outputs' views as shown, in answer order.
    """

    def __init__(self, views: Sequence[str]) -> None:
        self._views = tuple(views)
        self._present = [(metrics.served(view, PRESENT), width) for view, width in Counter(views).items()]

    def count(self, rows: int, odd: Mapping[int, Sequence[str]]) -> None:
        """Count `rows` rows in which every status is PRESENT, but for the rows of `odd`, which have these statuses."""
        for child, width in self._present:
            child.add(width * (rows - len(odd)))
        if odd:
            for view, column in zip(self._views, zip(*odd.values(), strict=True), strict=True):
                for status in set(column):
                    metrics.served(view, status).add(column.count(status))

    def count_row(self, statuses: Sequence[str] | None) -> None:
        """Count one row with these statuses by output; none: all of them are PRESENT."""
        if statuses is not None:
            self.count(1, {0: statuses})
            return
        for child, width in self._present:
            child.add(width)
