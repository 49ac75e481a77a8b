"""The look at all views, by one process of a deployment at a time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from app.domain import Catalog
from app.errors import FreshetError, StoreUnavailableError
from app.freshness.ports import Leases, Snapshots
from app.skew.compare import Outcome
from app.skew.findings import NAME, Mismatch, SkewReport, ViewSkew, newest
from app.skew.probe import SkewProbe
from app.skew.subjects import Subject, subjects
from app.threads import finish_in_thread, in_thread

log = structlog.get_logger(__name__)

_MOST_SECONDS_BETWEEN_TURNS = 5.0
_PATIENCE_AT_THE_END = 1.0
_MOST_SECONDS_BEFORE_THE_FIRST = 30.0
"""A process that starts is busy enough, and so is a deployment of which all processes do."""


class SkewMonitor:
    """Looks at one view after the other when it is time, and keeps the totals.

    Only the holder of the lease looks, and only it changes the totals: they never go back, whoever holds it.
    """

    def __init__(
        self,
        probe: SkewProbe,
        catalog: Callable[[], Catalog],
        leases: Leases,
        snapshots: Snapshots,
        clock: Callable[[], datetime],
        interval: timedelta,
        term: timedelta,
        holder: str,
        rank: int = 0,
    ) -> None:
        """`catalog` gives the one in use. `interval`: time from the beginning of a look to that of the next. `term`:
        how long the lease is taken for; a look at one view must not take longer. `rank`: who may take it from whom."""
        self._probe = probe
        self._catalog = catalog
        self._leases = leases
        self._snapshots = snapshots
        self._clock = clock
        self._interval = interval
        self._term = term
        self._holder = holder
        self._rank = rank
        self._failed_at: datetime | None = None
        self._stopping = threading.Event()

    @property
    def seconds_between_turns(self) -> float:
        """How often `run_once` should be called: that costs one statement where there is nothing to do."""
        return min(self._interval.total_seconds(), _MOST_SECONDS_BETWEEN_TURNS)

    def run_once(self) -> bool:
        """Look at all views, where it is time and this process's turn; whether it did. Blocks.

        What is wrong with one view is told in the report. Raises StoreUnavailableError where the metadata database or
        the registry does not answer.
        """
        if self._rests() or not self._may_look():
            return False
        try:
            return self._turn()
        except Exception:
            self._leave_to_others()
            raise

    def _turn(self) -> bool:
        found = self._snapshots.latest(NAME)
        known = None if found is None else SkewReport.from_json(found[1])
        began = self._clock()
        if known is not None and timedelta(0) <= began - known.began_at < self._interval:
            return False
        report, failed = self._look(known or SkewReport(began - self._interval, began - self._interval), began)
        if report is None or not self._may_look():
            return False  # another process has it now, and looks from where the last report left off
        self._snapshots.publish(NAME, report.to_json(), report.generated_at)
        if failed:
            self._leave_to_others()
        return True

    def _rests(self) -> bool:
        """Whether this process has failed so lately that the turn is another's."""
        return self._failed_at is not None and timedelta(0) <= self._clock() - self._failed_at < self._interval

    def _leave_to_others(self) -> None:
        """It may be this process alone that cannot look. Who takes the lease from it must not lose it at once, to a
        worker that outranks it."""
        self._failed_at = self._clock()
        self.give_back()

    async def keep_looking(self) -> None:
        """Call `run_once` in a thread, again and again, until cancelled. Call `stop` first: what runs is waited for."""
        failing, pause = "", min(self._interval.total_seconds(), _MOST_SECONDS_BEFORE_THE_FIRST)
        while True:
            await asyncio.sleep(pause)
            pause = self.seconds_between_turns
            try:
                await finish_in_thread(self.run_once)
                failing = ""
            except Exception as error:  # whatever it is, serving must not suffer, and the next look may succeed
                before, failing = failing, type(error).__name__
                if failing != before:
                    log.warning("looking for skew has failed", error=failing)

    def stop(self) -> None:
        """Let a look that runs end soon, without a report. For any thread."""
        self._stopping.set()
        self._probe.stop()

    async def close(self) -> None:
        """Let another process look, if the database answers soon; after `keep_looking` has ended."""
        self._probe.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(in_thread(self.give_back), _PATIENCE_AT_THE_END)

    def give_back(self) -> None:
        """Let another process look at once. Blocks; never raises: a lease that is not given back ends by itself."""
        with contextlib.suppress(Exception):
            self._leases.give_back(NAME, self._holder)

    def _may_look(self) -> bool:
        return not self._stopping.is_set() and self._leases.take(NAME, self._holder, self._term, self._rank)

    def _look(self, known: SkewReport, began: datetime) -> tuple[SkewReport | None, bool]:
        """The report, None where the lease was lost; and whether every view that was to be compared has failed. Then
        the report has no new beginning: the look is still due, for others."""
        catalog = self._catalog()
        views: dict[str, ViewSkew] = {}
        found: list[Mismatch] = []
        failed, looked = 0, 0
        for subject in subjects(catalog):
            if not self._may_look():
                return None, False
            before = known.views.get(subject.name) or ViewSkew(subject.name)
            looked += subject.refusal is None
            try:
                views[subject.name], mismatches = self._look_at(catalog, subject, before)
                found += mismatches
                _tell(before, views[subject.name])
            except Exception as error:  # one view that cannot be looked at must not hide the others
                failed += isinstance(error, StoreUnavailableError) or not isinstance(error, FreshetError)
                views[subject.name] = _skipped(before, _reason(error))
                _tell(before, views[subject.name], None if isinstance(error, FreshetError) else error)
        now = self._clock()
        kept = [one for one in known.mismatches if one.feature_view in views]
        in_vain = 0 < failed == looked
        report = SkewReport(
            now,
            known.began_at if in_vain else began,
            known.success_at if failed else now,
            views,
            newest(found, kept, now),
        )
        return report, in_vain

    def _look_at(self, catalog: Catalog, subject: Subject, before: ViewSkew) -> tuple[ViewSkew, list[Mismatch]]:
        if subject.refusal:
            return _skipped(before, subject.refusal), []
        look = self._probe.look(catalog, subject)
        wrong = look.counts[Outcome.MISMATCHED]
        if wrong:
            # Which entities, only the API tells.
            log.warning("served features differ from the offline store", feature_view=subject.name, entities=wrong)
        after = ViewSkew(
            subject.name,
            before.checked + look.counts[Outcome.MATCHED] + wrong,
            before.mismatched + wrong,
            look.counts[Outcome.LAGGING],
            look.counts[Outcome.AHEAD],
            look.counts[Outcome.FAILING],
            None,
            self._clock(),
        )
        return after, list(look.mismatches)


def _skipped(before: ViewSkew, reason: str) -> ViewSkew:
    return dataclasses.replace(before, lagging=0, ahead=0, failing=0, skipped_reason=reason)


def _tell(before: ViewSkew, after: ViewSkew, error: Exception | None = None) -> None:
    """Say why a view is not compared, when that changes, whichever process has looked before: not at each look."""
    if after.skipped_reason == before.skipped_reason:
        return
    if after.skipped_reason is None:
        log.info("a view is compared again", feature_view=after.feature_view)
    else:
        log.warning(
            "a view cannot be compared", feature_view=after.feature_view, reason=after.skipped_reason, exc_info=error
        )


def _reason(error: Exception) -> str:
    return error.detail if isinstance(error, FreshetError) else f"it fails ({type(error).__name__}); the log says more"
