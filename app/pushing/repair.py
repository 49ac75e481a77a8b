"""Repair: what the online store is owed is read from the offline store and written, until nothing is owed.

It is written as everything is, never an older row over a newer one: a repair may be repeated, run beside pushes and
other repairs, and end half way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from app import metrics
from app.domain import ViewSpec, to_microseconds, to_moment
from app.errors import FreshetError
from app.pushing.debts import Debt, Debts
from app.pushing.ports import OfflineReplay
from app.threads import finish_in_thread

log = structlog.get_logger(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0
"""Seconds between tries that fail, doubled each time."""
_AHEAD_DELAY = 2.0
"""Seconds between looks at rows ahead of the clock; so much later than due they may be online."""


class Repair:
    """Pays the debts of this process."""

    def __init__(
        self,
        debts: Debts,
        views: Callable[[str], Sequence[ViewSpec]],
        ready: Callable[[], None],
        replay: OfflineReplay,
        clock: Callable[[], datetime],
        max_clock_skew: timedelta,
    ) -> None:
        """`views`: those that a push source feeds, none where it is gone. `ready` raises StoreUnavailableError while
        the online store is away: found out before the offline store is read for nothing."""
        self._debts = debts
        self._views = views
        self._ready = ready
        self._replay = replay
        self._clock = clock
        self._skew = max_clock_skew
        self._next: dict[str, tuple[float, float]] = {}
        """By push source: when to try next, by the loop's clock, and how long to wait if that fails."""

    def pay(self, push_source: str) -> bool:
        """Bring online what is owed of a push source, as far as it is due; whether all of it was. Blocks.

        Raises what the stores raise; then all is owed as before.
        """
        debt = self._debts.claim(push_source)
        if debt is None:
            return True
        try:
            rest = self._bring_online(push_source, debt)
        except BaseException:
            self._debts.unpaid(push_source)
            raise
        self._debts.paid(push_source, rest)
        return rest is None

    async def run(self) -> None:
        """Pay debts as they are incurred, until cancelled."""
        loop, incurred = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(incurred.set)

        self._debts.listen(tell)
        while True:
            incurred.clear()
            owed = self._debts.push_sources()
            for push_source in owed:
                if self._when(push_source) <= loop.time():
                    await self._try(push_source)
            waits = [self._when(push_source) - loop.time() for push_source in self._debts.push_sources()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(waits)) if waits else None):
                    await incurred.wait()

    def _when(self, push_source: str) -> float:
        return self._next.get(push_source, (0.0, 0.0))[0]

    async def _try(self, push_source: str) -> None:
        now = asyncio.get_running_loop().time
        delay = self._next.get(push_source, (0.0, _FIRST_DELAY))[1]
        try:
            done = await finish_in_thread(partial(self.pay, push_source))
            self._next[push_source] = (now() + (_FIRST_DELAY if done else _AHEAD_DELAY), _FIRST_DELAY)
        except Exception as error:  # whatever it is, it must not keep others from being repaired
            metrics.PUSH_REPAIR_FAILURES.labels(push_source).inc()
            reason = error.detail if isinstance(error, FreshetError) else type(error).__name__
            log.warning("a repair has to wait", push_source=push_source, reason=reason, seconds=delay)
            self._next[push_source] = (now() + delay, min(2 * delay, _LONGEST_DELAY))

    def _bring_online(self, push_source: str, debt: Debt) -> Debt | None:
        """What is still owed afterwards."""
        views = [view for view in self._views(push_source) if view.online and view.enabled]
        if not views:
            log.warning("nothing is repaired: no view is written by it online", push_source=push_source)
            return None
        self._ready()
        now = self._clock()
        end = now if debt.high is None else min(now, to_moment(debt.high))
        written = 0
        if to_moment(debt.low) <= end:
            for view in views:
                changed = self._replay.bring_online(view, to_moment(debt.low), end)
                metrics.PUSH_REPAIR_ROWS.labels(push_source).inc(changed)
                written += changed
        rest = self._ahead(views, debt, now)
        log.info("repaired from the offline store", push_source=push_source, rows=written, done=rest is None)
        return rest

    def _ahead(self, views: Sequence[ViewSpec], debt: Debt, now: datetime) -> Debt | None:
        """What of the debt lies in the future still, where a read must not meet it yet (rule 5)."""
        if debt.high is not None:
            high = debt.high
        else:
            newest = [self._replay.newest_event(view, now, now + self._skew) for view in views]
            high = max((to_microseconds(event) for event in newest if event is not None), default=0)
        begin = to_microseconds(now)
        return Debt(max(debt.low, begin), high) if high > begin else None
