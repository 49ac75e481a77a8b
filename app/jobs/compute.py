"""Computing features from raw events into the offline store, one as_of after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa

from app.domain import ViewSpec
from app.errors import InvalidRequestError
from app.jobs.pipelines import Events, Pipeline
from app.stores.metadata import MetadataStore


class OfflineSlices(Protocol):
    """What computing needs of an offline store."""

    def replace(self, view: ViewSpec, table: pa.Table, as_of: datetime, created: datetime) -> None:
        """Write the rows of one (as_of, created), instead of any written before for the same two times."""


@dataclass(frozen=True)
class Computed:
    """What one computation did; `rows` is None when its run had succeeded before and nothing was done."""

    view: str
    as_of: datetime
    rows: int | None


def compute(
    pipeline: Pipeline,
    view: ViewSpec,
    events: Events,
    as_of: datetime,
    known_at: datetime | None,
    offline: OfflineSlices,
    metadata: MetadataStore,
    project: str,
    clock: Callable[[], datetime],
    force: bool = False,
) -> Computed:
    """Compute one view as of one moment and write the rows offline; the same moment is computed once unless forced.

    Repeating is harmless: the rows of one (as_of, known_at) replace each other. Raises InvalidRequestError for a moment
    in the future.
    """
    window = (as_of, known_at or as_of)
    if max(window) > clock():
        raise InvalidRequestError(f"{max(window):%Y-%m-%d %H:%M} UTC is in the future; its events have not happened")
    if not force and metadata.has_succeeded(project, "compute", view.name, window):
        return Computed(view.name, as_of, None)
    run_id = metadata.begin_run(project, "compute", view.name, window, clock())
    try:
        table = pipeline.compute(events, as_of, known_at)
        offline.replace(view, table, as_of, window[1])
    except BaseException as error:
        metadata.end_run(run_id, 0, clock(), error=f"{type(error).__name__}: {error}"[:2000])
        raise
    metadata.end_run(run_id, table.num_rows, clock())
    return Computed(view.name, as_of, table.num_rows)


def days(start: datetime, end: datetime) -> list[datetime]:
    """Every UTC midnight from `start` to `end`, both included."""
    first = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if first < start:
        first += timedelta(days=1)
    return [first + timedelta(days=day) for day in range((end - first).days + 1)] if end >= first else []
