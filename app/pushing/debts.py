"""What the online store is owed: rows of a push source that may be kept offline and have not reached it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Debt:
    """The event timestamps between which owed rows lie, in microseconds since 1970, both included.

    `high` is None where nobody knows it: it is then at most the clock of whoever took the rows, and the skew.
    """

    low: int
    high: int | None

    def and_(self, other: Debt | None) -> Debt:
        """One debt in place of two."""
        if other is None:
            return self
        high = None if self.high is None or other.high is None else max(self.high, other.high)
        return Debt(min(self.low, other.low), high)


class Debts:
    """The debts of this process by push source; from any thread.

    A debt that is being paid counts until it is paid, and what is incurred meanwhile stays owed: those rows may have
    been appended after the offline store was read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owed: dict[str, Debt] = {}
        self._being_paid: dict[str, Debt] = {}
        self._tell: Callable[[], None] = lambda: None

    def listen(self, tell: Callable[[], None]) -> None:
        """Call `tell` from now on whenever a debt is incurred, in the thread that incurs it."""
        self._tell = tell

    def incur(self, push_source: str, debt: Debt) -> bool:
        """Owe this as well; whether nothing was owed of the push source before."""
        with self._lock:
            is_first = push_source not in self._owed and push_source not in self._being_paid
            self._owed[push_source] = debt.and_(self._owed.get(push_source))
        self._tell()
        return is_first

    def claim(self, push_source: str) -> Debt | None:
        """Begin to pay: all that is owed now, or None. One of `paid` and `unpaid` must follow."""
        with self._lock:
            debt = self._owed.pop(push_source, None)
            if debt is not None:
                self._being_paid[push_source] = debt
            return debt

    def paid(self, push_source: str, rest: Debt | None) -> None:
        """What was claimed is paid, but for `rest`."""
        with self._lock:
            del self._being_paid[push_source]
            if rest is not None:
                self._owed[push_source] = rest.and_(self._owed.get(push_source))

    def unpaid(self, push_source: str) -> None:
        """What was claimed is owed as before."""
        with self._lock:
            claimed = self._being_paid.pop(push_source)
            self._owed[push_source] = claimed.and_(self._owed.get(push_source))

    def low(self, push_source: str) -> int | None:
        """The lowest event timestamp that is owed, or None where nothing is."""
        with self._lock:
            found = [debts[push_source].low for debts in (self._owed, self._being_paid) if push_source in debts]
            return min(found, default=None)

    def push_sources(self) -> list[str]:
        """Whoever is owed something."""
        with self._lock:
            return sorted({*self._owed, *self._being_paid})
