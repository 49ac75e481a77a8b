"""Exports as background jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import duckdb
import msgspec

from app.domain import Catalog
from app.errors import QuotaExceededError
from app.exports.choose import choose
from app.exports.destination import Destination
from app.exports.manifest import manifest_name
from app.exports.order import ExportFiles, ExportRequest
from app.exports.ports import OfflineHistory
from app.exports.run import ExportOrder, run_export
from app.job import Job, JobCancelled, JobControl

Open = Callable[[], AbstractContextManager[tuple[Catalog, OfflineHistory]]]
"""Opens the registry as it is now, and the history of its views."""


class ExportKind:
    """Implements app.job.JobKind."""

    def __init__(
        self,
        root: Destination,
        opened: Open,
        memory: int,
        quota: int,
        used: Callable[[], int],
        clock: Callable[[], datetime],
    ) -> None:
        """`root` is the folder of all exports, which may have `quota` bytes of results together; `used` says how many
        they have. `memory` is what one export may take."""
        self._root = root
        self._opened = opened
        self._memory = memory
        self._quota = quota
        self._used = used
        self._clock = clock

    def run(self, job: Job, control: JobControl) -> Mapping[str, Any]:
        """Write the result of this attempt, and say where it is."""
        request, files = _request(job), ExportFiles(self._root, job.id)
        name = files.result_name(job.attempt, request.format)
        left = self._quota - self._used()
        if left <= 0:
            raise QuotaExceededError(
                f"The results of exports have the {self._quota:,} bytes that they may have (FRESHET_EXPORT_QUOTA); "
                "wait until some expire (FRESHET_EXPORT_RETENTION), or raise it"
            )
        with (
            files.work(job.attempt) as work,
            files.spine(work) as spine,
            self._opened() as (catalog, history),
        ):
            order = ExportOrder(
                export_id=files.attempt_id(job.attempt),
                selection=choose(catalog, request.feature_service, request.features),
                catalog=catalog,
                spine=spine,
                origin=request.origin,
                format=request.format,
                cutoff=request.cutoff,
                known_at=request.known_at,
                full_feature_names=request.full_feature_names,
                memory=self._memory,
                spill=work / "spill",
                max_bytes=left,
            )

            def report(phase: str, done: int, total: int | None) -> None:
                control.check()
                control.report(phase, done, total)

            def interruptible(engine: duckdb.DuckDBPyConnection) -> AbstractContextManager[None]:
                return control.on_cancel(engine.interrupt)

            try:
                manifest = run_export(order, history, files.folder, name, self._clock, report, interruptible)
            except duckdb.InterruptException as error:
                raise JobCancelled from error
        return {
            "file": name,
            "manifest": manifest_name(name),
            "rows": manifest.rows,
            "bytes": manifest.data.bytes,
            "sha256": manifest.data.sha256,
        }

    def forget(self, job: Job) -> None:
        """Remove what attempts up to this one have written; with a job that has ended, its spine as well."""
        request, files = _request(job), ExportFiles(self._root, job.id)
        for attempt in range(1, job.attempt + 1):
            files.remove_attempt(attempt, request.format)
        if job.state.finished:
            files.remove_spine()


def _request(job: Job) -> ExportRequest:
    return msgspec.convert(job.request, ExportRequest)
