"""Counters and histograms of the hot path, kept in plain Python and handed over four times a second."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Protocol

import numpy as np
import numpy.typing as npt
import structlog
from prometheus_client import Counter, Histogram

log = structlog.get_logger(__name__)

_FLUSH_INTERVAL = 0.25


class _Pending(Protocol):
    def flush(self) -> None: ...


_FLUSHED: list[_Pending] = []
"""Grows by one per pair of labels, which come from the registry and from route templates. A list, because plans are
built in a thread: it may be appended to while the loop goes through it."""
_FLUSHED_ONCE: list[_Pending] = []


class HotCounter:
    """One child of a counter, counted in plain Python until `flush`; for the thread of the event loop alone.

    A shared file is written by every increment of the child itself, which costs more than all else that a small read
    does about its metrics (docs/adr/0010-hot-path.md).
    """

    def __init__(self, child: Counter) -> None:
        self._child = child
        self._pending = 0
        _FLUSHED.append(self)

    def add(self, number: int) -> None:
        """Count `number` more."""
        self._pending += number

    def flush(self) -> None:
        """Hand what was counted to the child."""
        pending, self._pending = self._pending, 0
        if pending:
            self._child.inc(pending)


class HotHistogram:
    """One child of a histogram, kept in plain Python until `flush`; for the thread of the event loop alone."""

    def __init__(self, child: Histogram) -> None:
        self._child = child
        self._bounds: list[float] = child._upper_bounds
        self._sum = 0.0
        self._counts = [0] * len(self._bounds)
        _FLUSHED.append(self)

    def observe(self, value: float) -> None:
        """Count one value."""
        self._sum += value
        self._counts[bisect_left(self._bounds, value)] += 1

    def observe_all(self, values: npt.NDArray[np.float64]) -> None:
        """Count many values."""
        self._sum += float(values.sum())
        # Ages are in no order: a look at all of them per bound takes a third of a search for the bound of each.
        below = [int(np.count_nonzero(values <= bound)) for bound in self._bounds]
        for place, (number, smaller) in enumerate(zip(below, [0, *below], strict=False)):
            self._counts[place] += number - smaller

    def flush(self) -> None:
        """Hand what was observed to the child: what its `observe` would do once per value, done once per bucket."""
        if not any(self._counts):
            return
        for position, number in enumerate(self._counts):
            if number:
                self._child._buckets[position].inc(number)
        self._child._sum.inc(self._sum)
        self._sum, self._counts = 0.0, [0] * len(self._bounds)


def flush_once(pending: _Pending) -> None:
    """Have it flushed with the next flush, and kept until then; for what lives no longer than a plan. In the thread of
    the event loop."""
    _FLUSHED_ONCE.append(pending)


def flush() -> None:
    """Hand over what the hot path has counted so far. In the thread of the event loop."""
    # First: they hand over to the others.
    once = _FLUSHED_ONCE[:]
    _FLUSHED_ONCE.clear()
    for pending in once:
        pending.flush()
    for hot in _FLUSHED:
        hot.flush()


async def keep_flushed() -> None:
    """Flush several times a second, so that other workers' /metrics are no older than that, until cancelled. What goes
    wrong is logged, once until it goes well again."""
    failing = ""
    try:
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL)
            try:
                flush()
                failing = ""
            except Exception as error:  # what one request has left behind must not end the counting of all others
                before, failing = failing, type(error).__name__
                if failing != before:
                    log.exception("metrics could not be handed over")
    finally:
        flush()
