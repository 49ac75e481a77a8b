"""Features joined to a spine: batches of rows in spine order, with the statuses of what was found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from app.arrow_columns import as_type, converter
from app.errors import ConfigurationError, one_line
from app.exports import join
from app.exports.engine import rows_at_once
from app.exports.partitions import joined, partitions
from app.exports.ports import OfflineHistory, Scope, Spine
from app.planning.selection import PlannedView, Selection

_ROWS_PER_BATCH = 50_000
_FEW_ROWS = 100_000
"""For spines up to here the join keys are worth collecting: a store that looks for them alone reads less."""


@dataclass(frozen=True)
class JoinedBatch:
    """Some rows of the spine with what was found for them.

    `values` are the features that are read, by view, in the types of their views; `statuses` say by view what the row
    is (app.exports.join: HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE), as int8.
    """

    spine: pa.RecordBatch
    values: Sequence[Sequence[pa.Array]]
    statuses: Sequence[pa.Array]


def point_in_time(
    engine: duckdb.DuckDBPyConnection,
    selection: Selection,
    spine: Spine,
    history: OfflineHistory,
    known_at: bool = False,
    created_until: datetime | None = None,
) -> Iterator[JoinedBatch]:
    """Every row of the spine once, in its order, with the values that hold at its time (rules 1 and 3).

    With `known_at` a value also has to have been known at that time: its created timestamp is not after it. Rows of
    views without a created column, and rows in which it is null, are known from their event timestamp on. Rows created
    after `created_until` do not count at all. `engine` is used up: open one for each join.
    Raises StoreUnavailableError, ConfigurationError, NotServableError where a store cannot find what is asked for, and
    duckdb.InterruptException where somebody interrupts.
    """
    types = [history.types(planned) for planned in selection.views]
    if spine.bounds is None:
        return
    with contextlib.ExitStack() as attached, _readable():
        spine.attach(engine, join.SPINE, list(selection.join_keys))
        for index, planned in enumerate(selection.views):
            scope = _scope(engine, selection, planned, spine, known_at, created_until)
            attached.enter_context(history.attach(engine, join.relation(index), planned, scope))
            join.make_unique(engine, index, planned, known_at)
        for rows, batch in _side_by_side(spine.batches(), _found(engine, selection, spine)):
            yield JoinedBatch(rows, *_by_view(selection, types, batch))


def _found(engine: duckdb.DuckDBPyConnection, selection: Selection, spine: Spine) -> Iterator[pa.RecordBatch]:
    at_once = rows_at_once(engine)
    parts = partitions(engine, selection, spine.rows, at_once)
    if any(count > 1 for count in parts):
        return joined(engine, selection, spine.rows, parts, at_once, _ROWS_PER_BATCH)
    return iter(engine.sql(join.query(engine, selection)).to_arrow_reader(_ROWS_PER_BATCH))


def _scope(
    engine: duckdb.DuckDBPyConnection,
    selection: Selection,
    planned: PlannedView,
    spine: Spine,
    known_at: bool,
    created_until: datetime | None,
) -> Scope:
    if spine.bounds is None:
        raise ValueError("a spine without rows needs no rows of any view")
    earliest, latest = spine.bounds
    oldest = None
    if planned.max_age is not None:
        with contextlib.suppress(OverflowError):  # a ttl of thousands of years: no limit
            oldest = earliest - timedelta(microseconds=planned.max_age)
    columns = list(selection.join_keys)
    wanted = [f"s{columns.index(column)} AS k{place}" for place, column in enumerate(planned.key_columns)]
    keys = None
    if spine.rows <= _FEW_ROWS and wanted:
        keys = engine.sql(f"SELECT DISTINCT {', '.join(wanted)} FROM {join.SPINE}").to_arrow_table()  # noqa: S608
    asked = f"SELECT DISTINCT {', '.join([*wanted, 't'])} FROM {join.SPINE}"  # noqa: S608
    return Scope(oldest, latest, created_until, keys, asked, known_at)


def _side_by_side(
    rows: Iterator[pa.RecordBatch], found: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """The rows of the spine and what was found for them, cut into the same pieces."""
    held, number = next(rows, None), 0
    for batch in found:
        start = 0
        while start < batch.num_rows:
            while held is not None and held.num_rows == 0:
                held = next(rows, None)
            if held is None:
                raise AssertionError("the join gave more rows than the spine has")
            width = min(held.num_rows, batch.num_rows - start)
            piece = batch.slice(start, width)
            if (piece["r"][0].as_py(), piece["r"][-1].as_py()) != (number, number + width - 1):
                raise AssertionError("the join did not give every row of the spine once, in its order")
            yield held.slice(0, width), piece
            held, start, number = held.slice(width), start + width, number + width
    if any(batch.num_rows for batch in [*([] if held is None else [held]), *rows]):
        raise AssertionError("the join gave fewer rows than the spine has")


def _by_view(
    selection: Selection, types: Sequence[Sequence[pa.DataType]], batch: pa.RecordBatch
) -> tuple[Sequence[Sequence[pa.Array]], Sequence[pa.Array]]:
    values = [
        [
            _typed(batch[f"value_{index}_{number}"], wanted, f"{planned.view.name}:{planned.features[number]}")
            for number, wanted in enumerate(types[index])
        ]
        for index, planned in enumerate(selection.views)
    ]
    return values, [batch[f"status_{index}"] for index in range(len(selection.views))]


def _typed(column: pa.Array, wanted: pa.DataType, name: str) -> pa.Array:
    """The column in the type of its feature. Raises ConfigurationError that names the feature."""
    try:
        found = as_type(pa.chunked_array([column]), wanted, name)
        if found.type != wanted:
            # A struct where Feast would write a map, say: both are a mapping to Python.
            convert = converter(wanted) or (lambda value: value)
            values = [
                None if value is None else convert(dict(value) if _is_pairs(value) else value)
                for value in found.to_pylist()
            ]
            return pa.array(values, wanted)
    except ConfigurationError:
        raise
    except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"Values of {name} cannot be read as {wanted}: {one_line(error)}") from error
    return found.chunk(0) if found.num_chunks == 1 else found.combine_chunks()


def _is_pairs(value: object) -> bool:
    """Whether a value is a map as Arrow gives it."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, tuple) and len(one) == 2 for one in value)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """What DuckDB says of rows that it cannot read, as an error of ours, in one line."""
    try:
        yield
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        raise ConfigurationError(f"The rows of the sources cannot be joined: {one_line(error)}") from error
