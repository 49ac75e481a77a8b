"""What is known of skew, in memory: every process shows the same, whichever of them has looked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from app import metrics
from app.freshness.ports import Snapshots
from app.skew.findings import NAME, SkewReport
from app.threads import in_thread

log = structlog.get_logger(__name__)

_MOST_SECONDS = 2.0


class SkewBoard:
    """The last report, for the API and for the metrics."""

    def __init__(self, snapshots: Snapshots, project: str, interval: timedelta) -> None:
        """`interval`: time between looks; zero where nobody looks."""
        self._snapshots = snapshots
        self._project = project
        self.interval = interval
        self.report: SkewReport | None = None
        """None until there is one."""

    def load(self) -> None:
        """Take over the last report. Blocks; raises StoreUnavailableError."""
        found = self._snapshots.latest(NAME)
        if found is not None:
            self.report = SkewReport.from_json(found[1])
            self._show(self.report)

    async def keep_loaded(self) -> None:
        """Take over new reports as they come, until cancelled. Without the database the last one stays."""
        metrics.SKEW_PROBE_INTERVAL.set_all({(self._project,): self.interval.total_seconds()})
        while True:
            try:
                await in_thread(self.load)
            except Exception as error:  # whatever it is, the next one may be there
                log.debug("the report on skew cannot be read", reason=type(error).__name__)
            await asyncio.sleep(min(self.interval.total_seconds(), _MOST_SECONDS))

    def _show(self, report: SkewReport) -> None:
        project, views = self._project, report.views.values()
        # A view that was never looked at has no zero to show.
        seen = [view for view in views if view.last_checked_at is not None]
        metrics.SKEW_CHECKED.set_all({(project, view.feature_view): view.checked for view in seen})
        metrics.SKEW_MISMATCH.set_all({(project, view.feature_view): view.mismatched for view in seen})
        metrics.SKEW_LAST_CHECKED.set_all(
            {(project, view.feature_view): at.timestamp() for view in seen if (at := view.last_checked_at) is not None}
        )
        success = report.success_at
        metrics.SKEW_PROBE_LAST_SUCCESS.set_all({} if success is None else {(project,): success.timestamp()})
