"""Exports as a kind of job, wired together for a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from app.deployment import deployment, migrated_metadata, now
from app.domain import Catalog
from app.exports.destination import Destination
from app.exports.kind import ExportKind
from app.exports.order import KIND
from app.exports.ports import OfflineHistory
from app.job import JobKind, JobState
from app.settings import Settings
from app.stores.feature_store_yaml import project_of
from app.stores.jobs import JobRecords

_MOST_COUNTED = 100_000


def export_kind(settings: Settings) -> JobKind:
    """The kind of job that makes exports. The registry is read anew for each."""
    records = JobRecords(migrated_metadata(settings), project_of(settings))

    @contextlib.contextmanager
    def opened() -> Iterator[tuple[Catalog, OfflineHistory]]:
        with deployment(settings) as parts:
            yield parts.catalog, parts.history

    def used() -> int:
        ended = records.list(KIND, _MOST_COUNTED, state=JobState.SUCCEEDED)
        return sum((job.result or {}).get("bytes", 0) for job in ended)

    place = Destination.parse(settings.exports_place)
    return ExportKind(place, opened, settings.export_memory, settings.export_quota, used, now)
