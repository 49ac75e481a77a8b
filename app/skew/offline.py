"""The side of training: the same entities through the point-in-time join, by the code of exports."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from app.arrow_values import from_arrow
from app.domain import Catalog, ViewSpec
from app.errors import NotServableError, StoreUnavailableError, TransformError
from app.exports.choose import choose
from app.exports.engine import open_engine, stopped_after
from app.exports.ports import OfflineHistory, Scope
from app.exports.small import export_rows
from app.exports.spine_types import UTC_MICROS, declared_type
from app.planning.selection import PlannedView
from app.skew.compare import Side
from app.skew.entities import Entity
from app.values import format_timestamp, to_json

MEMORY = 268_435_456
"""Bytes that one join may take; what does not fit is spilled to disk."""

_MOST_TRIES = 40
"""To find who a function fails on, among a hundred entities: one takes 15, two up to 29."""

RowTimes = tuple[int | None, int | None]
"""Event and created timestamp of a row, in microseconds since 1970 (UTC); None where there is none."""


class OfflineSide:
    """Joins entities to the history of features."""

    def __init__(self, history: OfflineHistory, seconds: float) -> None:
        """`seconds`: how long one join may take."""
        self._history = history
        self._seconds = seconds

    def join(self, catalog: Catalog, references: Sequence[str], entities: Sequence[Entity], at: datetime) -> list[Side]:
        """One side per entity, its features in the order of the references, without the moment. Blocks.

        Raises what app.exports.small.export_rows raises.
        """
        selection = choose(catalog, None, references)
        when = format_timestamp(at)
        rows = [{**{name: to_json(value) for name, value in one.items()}, "event_timestamp": when} for one in entities]
        found = export_rows(selection, rows, self._history, len(rows), MEMORY, self._seconds, full_feature_names=True)
        dtypes = [output.dtype for output in selection.outputs]
        values = [
            [from_arrow(value, dtype) for value in found.table[name].to_pylist()]
            for name, dtype in zip(found.features, dtypes, strict=True)
        ]
        return [
            Side(None, [column[row].value for column in found.statuses], [column[row] for column in values])
            for row in range(len(rows))
        ]

    def join_apart(
        self, catalog: Catalog, references: Sequence[str], entities: Sequence[Entity], at: datetime
    ) -> list[Side | TransformError]:
        """The same for on-demand features. Those whose function fails on all at once are joined in halves, and halves
        of these, to tell whom it fails on; some others count among these where that takes too long."""
        found: list[Side | TransformError | None] = [None] * len(entities)
        waiting, tries, deadline = [(0, len(entities))] if entities else [], 0, time.monotonic() + self._seconds
        while waiting:
            start, end = waiting.pop()
            tries += 1
            try:
                found[start:end] = self.join(catalog, references, entities[start:end], at)
            except TransformError as error:
                found[start:end] = [error] * (end - start)
                if end - start > 1 and tries < _MOST_TRIES and time.monotonic() < deadline:
                    middle = (start + end) // 2
                    waiting += [(middle, end), (start, middle)]
        return [side for side in found if side is not None]

    def times(self, view: ViewSpec, entities: Sequence[Entity], at: datetime) -> list[RowTimes]:
        """Of each entity's newest row up to `at`, which is the one that is joined (rule 1), when it happened and when
        it was created. Blocks; raises as OfflineHistory.attach does."""
        keys = [f"k{place}" for place in range(len(view.join_keys))]
        asked = _asked(view, entities, at)
        planned = PlannedView(view, (), tuple(field.name for field in view.join_keys), view.name)
        distinct = asked.select(keys).group_by(keys).aggregate([]) if keys else None
        with self._engine() as engine:
            engine.register("asked", asked)
            scope = Scope(None, at, keys=distinct, asked=f"SELECT DISTINCT {', '.join([*keys, 't'])} FROM asked")  # noqa: S608
            with self._history.attach(engine, "stored", planned, scope):
                return _newest(engine, keys, len(entities))

    @contextmanager
    def _engine(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with (
            tempfile.TemporaryDirectory(prefix="freshet-skew-") as folder,
            open_engine(MEMORY, Path(folder) / "spill", threads=1) as engine,
            stopped_after(self._seconds, engine),
        ):
            try:
                yield engine
            except duckdb.InterruptException as error:
                raise StoreUnavailableError(f"The rows were not found within {self._seconds:g} s") from error


def _asked(view: ViewSpec, entities: Sequence[Entity], at: datetime) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "r": pa.array(range(len(entities)), pa.int64()),
        "t": pa.array([at] * len(entities), UTC_MICROS),
    }
    for place, field in enumerate(view.join_keys):
        dtype = declared_type(field.dtype)
        if dtype is None:
            raise NotServableError(f"Its join key {field.name} is {field.dtype}, a type that a spine cannot carry")
        columns[f"k{place}"] = pa.array([entity[field.name] for entity in entities], dtype)
    return pa.table(columns)


def _newest(engine: duckdb.DuckDBPyConnection, keys: Sequence[str], rows: int) -> list[RowTimes]:
    """By asked row; `arg_max` over both times, of which the created one may be null."""
    equal = " AND ".join([*(f"a.{key} = s.{key}" for key in keys), "s.t <= a.t"])
    query = (
        "SELECT r, epoch_us(t), epoch_us(c) FROM (SELECT a.r, s.t, s.c, row_number() OVER"  # noqa: S608
        f" (PARTITION BY a.r ORDER BY s.t DESC, s.c DESC NULLS LAST) AS place FROM asked a JOIN stored s ON {equal})"
        " WHERE place = 1"
    )
    found: list[tuple[Any, ...]] = engine.execute(query).fetchall()
    by_row: dict[int, RowTimes] = {row: (moment, created) for row, moment, created in found}
    return [by_row.get(row, (None, None)) for row in range(rows)]
