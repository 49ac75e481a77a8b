"""The faults of a spine's rows: the first of each column in full, the others as a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from app.errors import FieldError, InvalidRequestError

Fault = tuple[int, str]
"""The place of a value in its column, and what is wrong with it."""

_SHOWN = 5
_MOST = 1_000
"""So many faults in one column end the search for more: whoever has so many has one and the same in every row."""


def of_rows(row: int, column: str) -> str:
    """Where a value is, in a list of rows; the first row is 0."""
    return f"rows[{row}].{column}"


class SpineFaults:
    """Collects faults, and raises them together. `place` says how the caller calls a value of his."""

    def __init__(self, place: Callable[[int, str], str] = of_rows) -> None:
        self._place = place
        self._shown: list[FieldError] = []
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._shown)

    def add_column(self, faults: Iterable[FieldError]) -> None:
        """Faults of whole columns."""
        self._shown += faults

    def add(self, column: str, faults: Iterable[Fault], first_row: int = 0) -> None:
        """Faults of values, the first of which is that of `first_row`. Raises as `raise_any` does where there are so
        many that there is no use in a look at more rows."""
        for place, message in faults:
            self._counts[column] += 1
            if self._counts[column] <= _SHOWN:
                self._shown.append(FieldError(self._place(first_row + place, column), message))
            elif self._counts[column] >= _MOST:
                self.raise_any()

    def raise_any(self) -> None:
        """Raises InvalidRequestError with every fault, where there is one."""
        if not self._shown:
            return
        more = [
            FieldError(column, f"{'at least ' if count >= _MOST else ''}{count - _SHOWN:,} more values are faulty")
            for column, count in self._counts.items()
            if count > _SHOWN
        ]
        raise InvalidRequestError("The spine cannot be used", [*self._shown, *more])
