"""How many jobs there are, for the metrics of a server."""

from __future__ import annotations

import asyncio

import structlog

from app import metrics
from app.exports.order import KIND
from app.stores.job_totals import BOUNDS, Totals
from app.stores.jobs import JobRecords
from app.threads import in_thread

log = structlog.get_logger(__name__)

_SECONDS = 5.0


async def keep_counted(records: JobRecords) -> None:
    """Count the jobs every few seconds, until cancelled. What cannot be counted is left out of the metrics."""
    while True:
        try:
            metrics.JOBS.set_all(await in_thread(records.counts))
            _show(await in_thread(records.totals))
        except Exception as error:  # whatever it is, the next count may succeed
            log.debug("jobs cannot be counted", reason=type(error).__name__)
            metrics.JOBS.set_all({})
            _show(Totals())
        await asyncio.sleep(_SECONDS)


def _show(totals: Totals) -> None:
    metrics.JOBS_ENDED.set_all(totals.ended)
    metrics.EXPORT_ROWS.set(totals.rows.get(KIND))
    metrics.EXPORT_DURATION.show(BOUNDS, totals.durations.get(KIND), totals.seconds.get(KIND, 0.0))
