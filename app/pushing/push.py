"""Push: rows in, one outcome per row out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import metrics
from app.domain import Catalog, EntityKey, PushOutcome, PushTarget, ViewSpec, WriteRow
from app.errors import InvalidRequestError, NotFoundError, StoreUnavailableError
from app.pushing.due import DueRows
from app.pushing.ports import OfflineWriter, OnlineWriter
from app.pushing.rows import PushedRow, RejectedRow, RowSchema


@dataclass(frozen=True)
class RowResult:
    """What became of the row at `row` (its position in the request), and why where that needs saying."""

    row: int
    outcome: PushOutcome
    reason: str | None = None


class Pusher:
    """Writes pushed rows offline first and then online, so that a failure in between loses nothing durable."""

    def __init__(
        self,
        online: OnlineWriter,
        offline: OfflineWriter,
        due: DueRows,
        clock: Callable[[], datetime],
        max_clock_skew: timedelta,
    ) -> None:
        self._online = online
        self._offline = offline
        self._due = due
        self._clock = clock
        self._skew = max_clock_skew
        self._last_created: datetime | None = None
        self._lock = threading.Lock()

    def push(self, catalog: Catalog, push_source: str, rows: Sequence[Any], target: PushTarget) -> list[RowResult]:
        """Check every row, write the valid ones, and tell what became of each, in the order given. Blocks.

        Raises NotFoundError for an unknown push source and StoreUnavailableError when a store does not answer.
        """
        views = _views(catalog, push_source)
        now = self._clock()
        schema = RowSchema(views)
        checked = [schema.check(position, row, now, self._skew) for position, row in enumerate(rows)]
        valid = [row for row in checked if isinstance(row, PushedRow)]
        created = [row.created_timestamp or self._next_created(now) for row in valid]
        if target.offline and valid:
            times = [(row.event_timestamp, stamp) for row, stamp in zip(valid, created, strict=True)]
            self._offline.append(views, [row.values for row in valid], times)
        results = {row.position: RowResult(row.position, PushOutcome.APPLIED) for row in valid}
        if target.online and valid:
            results.update(self._write_online(views, valid, created, now, kept=target.offline))
        for row in checked:
            if isinstance(row, RejectedRow):
                results[row.position] = RowResult(row.position, PushOutcome.REJECTED, row.reason)
        for result in results.values():
            metrics.PUSH_ROWS.labels(push_source, result.outcome.value).inc()
        return [results[position] for position in range(len(rows))]

    def _write_online(
        self,
        views: Sequence[ViewSpec],
        rows: Sequence[PushedRow],
        created: Sequence[datetime],
        now: datetime,
        kept: bool,
    ) -> dict[int, RowResult]:
        outcomes: dict[int, list[PushOutcome]] = {row.position: [] for row in rows}
        due = [row.event_timestamp <= now for row in rows]
        for view in (view for view in views if view.online and view.enabled):
            writes = [_write_row(view, row, stamp) for row, stamp in zip(rows, created, strict=True)]
            ready = [write for write, is_due in zip(writes, due, strict=True) if is_due]
            try:
                written = iter(self._online.write(view, ready) if ready else [])
            except StoreUnavailableError as error:
                detail = "The rows are kept offline; push them again with to=online" if kept else "Nothing was kept"
                raise StoreUnavailableError(f"{error.detail}. {detail}") from error
            for row, write, is_due in zip(rows, writes, due, strict=True):
                if is_due:
                    outcomes[row.position].append(next(written))
                else:
                    self._due.add(view, write)
        ahead = "ahead of the clock: written online when it is due"
        reasons = {row.position: None if is_due else ahead for row, is_due in zip(rows, due, strict=True)}
        return {position: _result(position, found, reasons[position]) for position, found in outcomes.items()}

    def _next_created(self, now: datetime) -> datetime:
        # Rule 1 breaks ties of event timestamps by the created one, so no two rows may share what we stamp.
        with self._lock:
            last = self._last_created
            self._last_created = now if last is None or now > last else last + timedelta(microseconds=1)
            return self._last_created


def _views(catalog: Catalog, push_source: str) -> list[ViewSpec]:
    if push_source not in catalog.push_sources:
        known = ", ".join(catalog.push_sources) or "none"
        raise NotFoundError(f"There is no push source {push_source}. Known: {known}")
    views = [catalog.views[name] for name in catalog.push_sources[push_source]]
    if not views:
        raise InvalidRequestError(f"No feature view reads push source {push_source}")
    return views


def _write_row(view: ViewSpec, row: PushedRow, created: datetime) -> WriteRow:
    names = tuple(field.name for field in view.join_keys)
    return WriteRow(
        key=EntityKey(names, tuple(row.values[name] for name in names)),
        values={field.name: row.values[field.name] for field in view.features},
        event_timestamp=row.event_timestamp,
        created_timestamp=created,
    )


def _result(position: int, outcomes: Sequence[PushOutcome], reason: str | None) -> RowResult:
    """One outcome over all views: applied where any view took the row, or none was written yet."""
    if not outcomes:
        return RowResult(position, PushOutcome.APPLIED, reason)
    for outcome in (PushOutcome.APPLIED, PushOutcome.LATE, PushOutcome.DUPLICATE):
        if outcome in outcomes:
            return RowResult(position, outcome, "older than what is stored" if outcome is PushOutcome.LATE else None)
    raise AssertionError(f"no outcome among {outcomes}")
