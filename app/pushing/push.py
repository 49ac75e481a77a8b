"""Push: rows in, one outcome per row out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import metrics
from app.domain import Catalog, PushOutcome, PushTarget, ViewSpec, to_microseconds, to_moment
from app.errors import InvalidRequestError, NotFoundError, StoreUnavailableError
from app.pushing.batch import RowBatch
from app.pushing.checked import CheckedRows
from app.pushing.due import DueRows
from app.pushing.ports import OfflineWriter, OnlineWriter
from app.pushing.schema import PushedColumns, PushSchema
from app.pushing.stamps import Stamps

_AHEAD = "ahead of the clock: written online when it is due"
_LATE = "older than what is stored"
_WRITTEN = (PushOutcome.APPLIED, PushOutcome.LATE, PushOutcome.DUPLICATE)
"""The outcomes of a row in several views, the one that counts for the row first."""


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of every row, in the order of the request, and why where that needs saying (by position)."""

    outcomes: Sequence[PushOutcome]
    reasons: Mapping[int, str]


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
        self._stamps = Stamps()
        self._schemas: tuple[Catalog | None, dict[str, PushSchema]] = (None, {})

    def schema(self, catalog: Catalog, push_source: str) -> PushSchema:
        """The schema of a push source, compiled once per catalog. Raises NotFoundError for one that is not in it, and
        InvalidRequestError for one that no view reads."""
        if self._schemas[0] is not catalog:
            self._schemas = (catalog, {})
        schemas = self._schemas[1]
        schema = schemas.get(push_source)
        if schema is None:
            schema = schemas[push_source] = PushSchema(push_source, _views(catalog, push_source), self._skew)
        return schema

    def check(self, schema: PushSchema, rows: Sequence[Any] | PushedColumns) -> Iterator[CheckedRows]:
        """Check rows by the clock of this moment, in parts between which others may run; see PushSchema.check."""
        return schema.check(rows, to_microseconds(self._clock()))

    def require_all(self, schema: PushSchema, checked: CheckedRows) -> None:
        """Raises InvalidRequestError with every fault of every row, unless all rows may be written."""
        if checked.rejected:
            metrics.PUSH_ROWS.labels(schema.push_source, PushOutcome.REJECTED.value).inc(len(checked.rejected))
            faults = [fault for row in checked.rejected for fault in row.field_errors()]
            raise InvalidRequestError("Rows were rejected, and all or none are written", faults)

    def write(self, schema: PushSchema, checked: CheckedRows, target: PushTarget) -> PushResult:
        """Write the rows that were found valid, and tell what became of each. Blocks.

        Raises StoreUnavailableError when a store does not answer.
        """
        now = to_microseconds(self._clock())
        batch = self._stamps.stamp(checked.batch, now)
        if target.offline and len(batch):
            self._append(schema.views, batch)
        outcomes: Sequence[PushOutcome] = [PushOutcome.APPLIED] * len(batch)
        reasons = {}
        if target.online and len(batch):
            outcomes, ahead = self._write_online(schema.views, batch, now, kept=target.offline)
            reasons = {checked.positions[place]: _AHEAD for place in ahead}
            if PushOutcome.LATE in outcomes:
                late = (place for place, outcome in enumerate(outcomes) if outcome is PushOutcome.LATE)
                reasons.update((checked.positions[place], _LATE) for place in late)
        return _counted(schema.push_source, _with_rejected(checked, outcomes, reasons))

    def push(
        self, catalog: Catalog, push_source: str, rows: Sequence[Any] | PushedColumns, target: PushTarget
    ) -> PushResult:
        """All of it at once, for rows of which there is at least one. Blocks."""
        schema = self.schema(catalog, push_source)
        return self.write(schema, CheckedRows.joined(list(self.check(schema, rows))), target)

    def _append(self, views: Sequence[ViewSpec], batch: RowBatch) -> None:
        rows = [dict(zip(batch.columns, values, strict=True)) for values in zip(*batch.columns.values(), strict=True)]
        times = [
            (to_moment(event), to_moment(created))
            for event, created in zip(batch.event, batch.created, strict=True)
            if created is not None  # every row was stamped
        ]
        self._offline.append(views, rows, times)

    def _write_online(
        self, views: Sequence[ViewSpec], batch: RowBatch, now: int, kept: bool
    ) -> tuple[Sequence[PushOutcome], Sequence[int]]:
        """The outcome of each row over all views, and the places of those that are not due yet."""
        ahead = [place for place, event in enumerate(batch.event) if event > now] if max(batch.event) > now else []
        due = [place for place, event in enumerate(batch.event) if event <= now] if ahead else range(len(batch))
        ready = batch.take(due) if ahead else batch
        found: list[Sequence[PushOutcome]] = []
        for view in (view for view in views if view.online and view.enabled):
            try:
                if due:
                    found.append(self._online.write(view, ready))
            except StoreUnavailableError as error:
                detail = "The rows are kept offline; push them again with to=online" if kept else "Nothing was kept"
                raise StoreUnavailableError(f"{error.detail}. {detail}") from error
            self._due.add(view, batch, ahead)
        merged = _merged(found, len(due))
        if not ahead:
            return merged, ahead
        outcomes = [PushOutcome.APPLIED] * len(batch)
        for place, outcome in zip(due, merged, strict=True):
            outcomes[place] = outcome
        return outcomes, ahead


def _views(catalog: Catalog, push_source: str) -> list[ViewSpec]:
    if push_source not in catalog.push_sources:
        known = ", ".join(catalog.push_sources) or "none"
        raise NotFoundError(f"There is no push source {push_source}. Known: {known}")
    views = [catalog.views[name] for name in catalog.push_sources[push_source]]
    if not views:
        raise InvalidRequestError(f"No feature view reads push source {push_source}")
    return views


def _merged(found: Sequence[Sequence[PushOutcome]], rows: int) -> Sequence[PushOutcome]:
    """One outcome per row over all views: applied where any view took the row, or none was written."""
    if not found:
        return [PushOutcome.APPLIED] * rows
    if len(found) == 1:
        return found[0]
    return [next(outcome for outcome in _WRITTEN if outcome in row) for row in zip(*found, strict=True)]


def _with_rejected(checked: CheckedRows, outcomes: Sequence[PushOutcome], reasons: dict[int, str]) -> PushResult:
    if not checked.rejected:
        return PushResult(outcomes, reasons)
    every = [PushOutcome.REJECTED] * len(checked)
    for position, outcome in zip(checked.positions, outcomes, strict=True):
        every[position] = outcome
    reasons.update((row.position, row.reason) for row in checked.rejected)
    return PushResult(every, reasons)


def _counted(push_source: str, result: PushResult) -> PushResult:
    for outcome in PushOutcome:
        number = result.outcomes.count(outcome)
        if number:
            metrics.PUSH_ROWS.labels(push_source, outcome.value).inc(number)
    return result
