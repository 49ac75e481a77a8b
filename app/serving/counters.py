"""How often which view was served with which status: one count per view and request, not one per value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from app import metrics
from app.serving.shape import PRESENT

_MOST_PATTERNS = 1000


class ServedCounters:
    """The children of freshet_served_values_total for the outputs of one plan, looked up once.

    `views` are the outputs' views as shown, in answer order.
    """

    def __init__(self, views: Sequence[str]) -> None:
        self._views = tuple(views)
        self._patterns: dict[tuple[str, ...], list[tuple[metrics.HotCounter, int]]] = {}
        self._present = [(metrics.served(view, PRESENT), width) for view, width in Counter(views).items()]

    def count(self, rows: int, odd: Mapping[int, Sequence[str]]) -> None:
        """Count `rows` rows in which every status is PRESENT, but for the rows of `odd`, which have these statuses."""
        for child, width in self._present:
            child.add(width * (rows - len(odd)))
        if odd:
            for pattern, number in Counter(map(tuple, odd.values())).items():
                for child, width in self._children(pattern):
                    child.add(width * number)

    def _children(self, pattern: tuple[str, ...]) -> list[tuple[metrics.HotCounter, int]]:
        """What a row with these statuses adds to which counter."""
        known = self._patterns.get(pattern)
        if known is None:
            counted = Counter(zip(self._views, pattern, strict=True))
            known = [(metrics.served(view, status), width) for (view, status), width in counted.items()]
            if len(self._patterns) >= _MOST_PATTERNS:
                self._patterns.clear()
            self._patterns[pattern] = known
        return known

    def count_row(self, statuses: Sequence[str] | None) -> None:
        """Count one row with these statuses by output; none: all of them are PRESENT."""
        if statuses is not None:
            self.count(1, {0: statuses})
            return
        for child, width in self._present:
            child.add(width)
