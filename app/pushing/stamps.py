"""The created timestamps that Freshet gives to rows which come without one."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence

from app.pushing.batch import RowBatch


class Stamps:
    """Increasing moments, none given twice by this process: rule 1 breaks ties of event timestamps by them."""

    def __init__(self) -> None:
        self._next = 0
        self._lock = threading.Lock()

    def stamp(self, batch: RowBatch, now: int) -> RowBatch:
        """The batch with a created timestamp in every row: its own, or one from `now` (microseconds since 1970) on, or
        from the last that was given. May be called from any thread."""
        missing = batch.created.count(None)
        return stamped(batch, self.reserve(missing, now)) if missing else batch

    def reserve(self, number: int, now: int) -> int:
        """The first of so many moments that nobody else is given. May be called from any thread."""
        with self._lock:
            first = max(now, self._next)
            self._next = first + number
        return first


def stamped(batch: RowBatch, first: int) -> RowBatch:
    """The batch with a created timestamp in every row: its own, or the next one from `first` on."""
    missing = batch.created.count(None)
    stamps: Sequence[int] = range(first, first + missing)
    if missing < len(batch):
        following = iter(stamps)
        stamps = [next(following) if created is None else created for created in batch.created]
    return dataclasses.replace(batch, created=stamps)
