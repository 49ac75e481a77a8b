"""Push: rows in, one outcome per row out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from app import metrics
from app.domain import Catalog, PushOutcome, PushTarget, ViewSpec, to_microseconds
from app.errors import InvalidRequestError, NotFoundError, NotServableError
from app.pushing.checked import CheckedRows
from app.pushing.grouped import PushResult
from app.pushing.schema import PushedColumns, PushSchema
from app.pushing.writing import GroupWriter


class Pusher:
    """What is done with a push beside the writing."""

    def __init__(self, writer: GroupWriter, clock: Callable[[], datetime], max_clock_skew: timedelta) -> None:
        self._writer = writer
        self._clock = clock
        self._skew = max_clock_skew
        self._schemas: tuple[Catalog | None, dict[tuple[str, str | None], PushSchema]] = (None, {})
        """By push source, and by view where it is for one view alone."""

    def schema(self, catalog: Catalog, push_source: str) -> PushSchema:
        """The schema of a push source, compiled once per catalog. Raises NotFoundError for one that is not in it, and
        InvalidRequestError for one that no view reads."""
        return self._compiled(catalog, (push_source, None), lambda: _views(catalog, push_source))

    def view_schema(self, catalog: Catalog, view: ViewSpec) -> PushSchema:
        """The same for the rows of one view alone, under its push source, or its own name where it has none."""
        key = (view.push_source or view.name, view.name)
        return self._compiled(catalog, key, lambda: [view])

    def _compiled(
        self, catalog: Catalog, key: tuple[str, str | None], views: Callable[[], Sequence[ViewSpec]]
    ) -> PushSchema:
        if self._schemas[0] is not catalog:
            self._schemas = (catalog, {})
        schemas = self._schemas[1]
        schema = schemas.get(key)
        if schema is None:
            schema = schemas[key] = PushSchema(key[0], views(), self._skew)
        return schema

    async def checked(
        self, schema: PushSchema, rows: Sequence[Any] | PushedColumns, now: int | None = None
    ) -> CheckedRows:
        """Check at least one row by the clock of this moment, or of `now` in microseconds since 1970; see
        PushSchema.check."""
        parts: list[CheckedRows] = []
        for part in schema.check(rows, to_microseconds(self._clock()) if now is None else now):
            if parts:
                # Others may run between the parts of a big push.
                await asyncio.sleep(0)
            parts.append(part)
        return CheckedRows.joined(parts)

    def require_all(self, schema: PushSchema, checked: CheckedRows) -> None:
        """Raises InvalidRequestError with every fault of every row, unless all rows may be written."""
        if checked.rejected:
            metrics.PUSH_ROWS.labels(schema.push_source, PushOutcome.REJECTED.value).inc(len(checked.rejected))
            faults = [fault for row in checked.rejected for fault in row.field_errors()]
            raise InvalidRequestError("Rows were rejected, and all or none are written", faults)

    def require_online(self, schema: PushSchema, target: PushTarget) -> None:
        """Raises NotServableError where rows for the online store alone would be written nowhere."""
        if target is PushTarget.ONLINE and not any(view.online and view.enabled for view in schema.views):
            raise NotServableError(f"No feature view of push source {schema.push_source} is served online")

    def reserve(self, rows: int) -> int:
        """The first of so many created timestamps that no other push is given, in microseconds since 1970."""
        return self._writer.reserve(rows)

    def counted(self, schema: PushSchema, result: PushResult) -> PushResult:
        """The result, once it is in freshet_push_rows_total."""
        for outcome in PushOutcome:
            if number := result.outcomes.count(outcome):
                metrics.PUSH_ROWS.labels(schema.push_source, outcome.value).inc(number)
        return result


def count_from_zero(push_sources: Iterable[str]) -> None:
    """Let every count of pushed rows begin at 0: one that begins with its first rows does not grow, to Prometheus."""
    for source in push_sources:
        for outcome in PushOutcome:
            metrics.PUSH_ROWS.labels(source, outcome.value)


def _views(catalog: Catalog, push_source: str) -> list[ViewSpec]:
    if push_source not in catalog.push_sources:
        known = ", ".join(catalog.push_sources) or "none"
        raise NotFoundError(f"There is no push source {push_source}. Known: {known}")
    views = [catalog.views[name] for name in catalog.push_sources[push_source]]
    if not views:
        raise InvalidRequestError(f"No feature view reads push source {push_source}")
    return views
