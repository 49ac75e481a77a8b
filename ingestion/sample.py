"""Sample events on disk: one Parquet file per complete day, so that a fresh checkout has something to compute from."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain import utc
from ingestion.events import event_files
from ingestion.sample_day import day_events

SAMPLE_DAYS = 28
"""Days of events a folder without any gets."""

_SAMPLE_PREFIX = "sample-"


def write_sample_events(folder: Path, until: datetime, progress: Callable[[int, int], None]) -> int:
    """Bring the sample events in `folder` up to `until`; returns the number of rows written.

    `until` is floored to midnight UTC: only complete days are written, each to sample-YYYY-MM-DD.parquet (zstd), in
    full or not at all. An empty or missing folder gets SAMPLE_DAYS days, a folder with samples the days after its
    newest one. Nothing is written, and 0 returned, when the folder holds a Parquet file that isn't named sample-*:
    those events are real. `progress(days done, days to do)` is called after each day.

    Raises OSError when the folder can't be written.
    """
    files = event_files(folder)
    if any(not file.name.startswith(_SAMPLE_PREFIX) for file in files):
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    days = _missing_days(files, utc(until).date())
    rows = 0
    for done, day in enumerate(days, start=1):
        events = day_events(day)
        _publish(events, folder / f"{_SAMPLE_PREFIX}{day.isoformat()}.parquet")
        rows += events.num_rows
        progress(done, len(days))
    return rows


def _missing_days(files: list[Path], end: date) -> list[date]:
    """The days to write, oldest first; `end` itself is not complete and not among them."""
    newest = max((day for file in files if (day := _day_of(file))), default=end - timedelta(days=SAMPLE_DAYS + 1))
    start = newest + timedelta(days=1)
    return [start + timedelta(days=number) for number in range((end - start).days)]


def _day_of(file: Path) -> date | None:
    try:
        return date.fromisoformat(file.stem.removeprefix(_SAMPLE_PREFIX))
    except ValueError:
        return None


def _publish(events: pa.Table, path: Path) -> None:
    """Write `events` to `path` by rename, so that no reader ever sees half a file."""
    # The name ends unlike an event file's, so that what a killed process leaves behind is not read as events.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(events, unfinished, compression="zstd")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
