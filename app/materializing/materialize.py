"""Materialization: the newest offline row of every entity, brought online newest-wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from app import metrics
from app.arrow_values import from_arrow
from app.domain import PushOutcome, ViewSpec
from app.errors import InvalidRequestError
from app.pushing.batch import RowBatch

_ROWS_PER_WRITE = 2_000
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class OfflineReader(Protocol):
    """What materialization needs of an offline store."""

    def newest(self, view: ViewSpec, start: datetime, end: datetime) -> pa.Table:
        """The newest row per entity with start <= event timestamp <= end: join keys, features, `event_timestamp` and
        `created_timestamp`. Raises StoreUnavailableError."""


class OnlineWriter(Protocol):
    """What materialization needs of an online store."""

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        """One outcome per row, in order. Raises StoreUnavailableError."""


class RunLog(Protocol):
    """Where materializations are remembered."""

    def begin_run(
        self, project: str, kind: str, view: str, window: tuple[datetime | None, datetime], now: datetime
    ) -> str:
        """Record a beginning; returns the run's id."""

    def end_run(self, run_id: str, rows: int, now: datetime, error: str | None = None) -> None:
        """Record an end."""

    def last_success(self, project: str, kind: str, view: str) -> datetime | None:
        """The end of the latest window that succeeded."""


@dataclass(frozen=True)
class Materialized:
    """What one materialization did. `rows` were read; `applied` of them changed the online store."""

    view: str
    start: datetime
    end: datetime
    rows: int
    applied: int


class Materializer:
    """Materializes views one at a time and remembers how far each has come."""

    def __init__(
        self,
        project: str,
        reader: OfflineReader,
        writer: OnlineWriter,
        runs: RunLog,
        clock: Callable[[], datetime],
        overlap: timedelta,
        record: Callable[[ViewSpec, datetime, datetime], None],
    ) -> None:
        """`overlap`: how far before the last success an incremental run starts, for rows that came late. `record`
        tells the Feast registry about a finished interval."""
        self._project = project
        self._reader = reader
        self._writer = writer
        self._runs = runs
        self._clock = clock
        self._overlap = overlap
        self._record = record

    def materialize(
        self,
        view: ViewSpec,
        start: datetime | None = None,
        end: datetime | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Materialized:
        """Bring the rows of [start, end] online; without a start: since the last success.

        A window without rows leaves no trace: rows that come into it later must not be skipped, and no view is fresher
        for it. An end in the future becomes now: the future has no rows, and a recorded future end would make the next
        incremental run skip what arrives until then. Raises StoreUnavailableError, and InvalidRequestError for a window
        that starts after its end.
        """
        now = self._clock()
        until = min(end or now, now)
        since = start or self._since(view)
        if since > until:
            raise InvalidRequestError(f"The window starts at {since:%Y-%m-%d %H:%M} UTC, after its end")
        table = self._reader.newest(view, since, until)
        progress(0, table.num_rows)
        if table.num_rows == 0:
            return Materialized(view.name, since, until, 0, 0)
        run_id = self._runs.begin_run(self._project, "materialize", view.name, (since, until), now)
        done = applied = 0
        try:
            for batch in batches(view, table):
                outcomes = self._writer.write(view, batch)
                applied += outcomes.count(PushOutcome.APPLIED)
                done += len(batch)
                metrics.MATERIALIZATION_ROWS.labels(view.name).inc(len(batch))
                progress(done, table.num_rows)
            self._record(view, since, until)
        except BaseException as error:
            self._runs.end_run(run_id, done, self._clock(), error=f"{type(error).__name__}: {error}"[:2000])
            raise
        self._runs.end_run(run_id, done, self._clock())
        return Materialized(view.name, since, until, done, applied)

    def _since(self, view: ViewSpec) -> datetime:
        last = self._runs.last_success(self._project, "materialize", view.name)
        return max(last - self._overlap, BEGINNING) if last else BEGINNING


def batches(view: ViewSpec, table: pa.Table) -> Iterator[RowBatch]:
    """The table in pieces, rows with a null join key left out: they belong to nobody."""
    for field in view.join_keys:
        table = table.filter(pc.is_valid(table[field.name]))
    dtypes = {field.name: field.dtype for field in [*view.join_keys, *view.features]}
    for batch in table.to_batches(max_chunksize=_ROWS_PER_WRITE):
        yield RowBatch(
            {
                name: [from_arrow(value, dtype) for value in batch.column(name).to_pylist()]
                for name, dtype in dtypes.items()
            },
            batch.column("event_timestamp").cast(pa.int64()).to_pylist(),
            batch.column("created_timestamp").cast(pa.int64()).to_pylist(),
        )
