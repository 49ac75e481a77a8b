"""Push: rows in, one outcome per row out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from app import metrics
from app.domain import Catalog, PushOutcome, PushTarget, ViewSpec, to_microseconds
from app.errors import InvalidRequestError, NotFoundError
from app.pushing.checked import CheckedRows
from app.pushing.schema import PushedColumns, PushSchema
from app.pushing.writing import GroupedPush, GroupWriter, PushResult


class Pusher:
    """What is done with a push beside the writing, and all of it in one call for whoever can wait in a thread."""

    def __init__(self, writer: GroupWriter, clock: Callable[[], datetime], max_clock_skew: timedelta) -> None:
        self._writer = writer
        self._clock = clock
        self._skew = max_clock_skew
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

    def check(
        self, schema: PushSchema, rows: Sequence[Any] | PushedColumns, now: int | None = None
    ) -> Iterator[CheckedRows]:
        """Check rows by the clock of this moment, or of `now` in microseconds since 1970, in parts between which others
        may run; see PushSchema.check."""
        return schema.check(rows, to_microseconds(self._clock()) if now is None else now)

    def require_all(self, schema: PushSchema, checked: CheckedRows) -> None:
        """Raises InvalidRequestError with every fault of every row, unless all rows may be written."""
        if checked.rejected:
            metrics.PUSH_ROWS.labels(schema.push_source, PushOutcome.REJECTED.value).inc(len(checked.rejected))
            faults = [fault for row in checked.rejected for fault in row.field_errors()]
            raise InvalidRequestError("Rows were rejected, and all or none are written", faults)

    def push(
        self, catalog: Catalog, push_source: str, rows: Sequence[Any] | PushedColumns, target: PushTarget
    ) -> PushResult:
        """All of it at once, for rows of which there is at least one. Blocks."""
        schema = self.schema(catalog, push_source)
        return self._write(schema, GroupedPush(CheckedRows.joined(list(self.check(schema, rows))), target))

    def write(self, schema: PushSchema, checked: CheckedRows, target: PushTarget) -> PushResult:
        """Write rows of which none was rejected, all or none. Blocks; raises as PushGroups.write does."""
        return self._write(schema, GroupedPush(checked, target, atomic=True))

    def _write(self, schema: PushSchema, push: GroupedPush) -> PushResult:
        self._writer.write(schema, [push])
        if push.error is not None:
            raise push.error
        return self.counted(schema, push.result())

    def reserve(self, rows: int) -> int:
        """The first of so many created timestamps that no other push is given, in microseconds since 1970."""
        return self._writer.reserve(rows)

    def counted(self, schema: PushSchema, result: PushResult) -> PushResult:
        """The result, once it is in freshet_push_rows_total."""
        for outcome in PushOutcome:
            if number := result.outcomes.count(outcome):
                metrics.PUSH_ROWS.labels(schema.push_source, outcome.value).inc(number)
        return result


def _views(catalog: Catalog, push_source: str) -> list[ViewSpec]:
    if push_source not in catalog.push_sources:
        known = ", ".join(catalog.push_sources) or "none"
        raise NotFoundError(f"There is no push source {push_source}. Known: {known}")
    views = [catalog.views[name] for name in catalog.push_sources[push_source]]
    if not views:
        raise InvalidRequestError(f"No feature view reads push source {push_source}")
    return views
