"""How often which view was served with which status: one count per view and request, not one per value.

Labels are the names that views have in the registry, whatever a feature service calls them: alerts join on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from app import metrics
from app.domain import ValueStatus
from app.serving.shape import PRESENT

_STATUSES = tuple(status.value for status in ValueStatus)


class ServedCounters:
    """The children of freshet_served_values_total for the outputs of one plan, looked up once.

    `views` are the names of the outputs' views in the registry, in answer order.
    """

    def __init__(self, views: Sequence[str]) -> None:
        self._views = tuple(views)
        self._present = [(metrics.served(view, PRESENT), width) for view, width in Counter(views).items()]

    def count(self, rows: int, odd: Mapping[int, Sequence[str]]) -> None:
        """Count `rows` rows in which every status is PRESENT, but for the rows of `odd`, which have these statuses."""
        for child, width in self._present:
            child.add(width * (rows - len(odd)))
        # By output: rows with a hundred outputs hardly ever have the same statuses throughout.
        for view, column in zip(self._views, zip(*odd.values(), strict=True), strict=bool(odd)):
            left = len(column)
            for status in _STATUSES:
                number = column.count(status)
                if number:
                    metrics.served(view, status).add(number)
                    left -= number
                    if not left:
                        break

    def count_row(self, statuses: Sequence[str] | None) -> None:
        """Count one row with these statuses by output; none: all of them are PRESENT."""
        if statuses is not None:
            self.count(1, {0: statuses})
            return
        for child, width in self._present:
            child.add(width)
