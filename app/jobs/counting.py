"""How many jobs and runs there are, for the metrics of a server."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping

import structlog

from app import metrics
from app.exports.order import KIND
from app.stores.job_totals import BOUNDS, Totals
from app.stores.jobs import JobRecords
from app.stores.metadata import MetadataStore
from app.threads import in_thread

log = structlog.get_logger(__name__)

_SECONDS = 5.0


async def keep_counted(records: JobRecords, metadata: MetadataStore, project: str) -> None:
    """Count the jobs and runs of a project every few seconds, until cancelled. What cannot be counted is left out of
    the metrics."""
    while True:
        try:
            metrics.JOBS.set_all(await in_thread(records.counts))
            _show(
                project,
                await in_thread(records.totals),
                await in_thread(functools.partial(metadata.ended_runs, project)),
            )
        except Exception as error:  # whatever it is, the next count may succeed
            log.debug("jobs cannot be counted", reason=type(error).__name__)
            metrics.JOBS.set_all({})
            _show(project, Totals(), {})
        await asyncio.sleep(_SECONDS)


def _show(project: str, totals: Totals, runs: Mapping[tuple[str, ...], int]) -> None:
    metrics.JOBS_ENDED.set_all({(project, *place): number for place, number in totals.ended.items()})
    metrics.RUNS_ENDED.set_all({(project, *place): number for place, number in runs.items()})
    metrics.EXPORT_ROWS.set(totals.rows.get(KIND))
    metrics.EXPORT_DURATION.show(BOUNDS, totals.durations.get(KIND), totals.seconds.get(KIND, 0.0))
