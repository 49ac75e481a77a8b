"""Spines: the tables of entities and moments to which an export joins features.

Wherever its rows come from, a spine is written once, as Parquet, in bounded memory, and read by the join from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from app.exports.spine_columns import SpineColumns
from app.exports.spine_csv import ContradictionError, column_types, open_csv
from app.exports.spine_faults import SpineFaults
from app.exports.spine_file import SpineFile, converted, normalised, write_spine
from app.exports.spine_formats import SpineFormat, open_arrow, open_parquet, recognised
from app.exports.spine_grid import TimeGrid, check_product, crossed, entity_columns, grid_schema, moments_alone
from app.exports.spine_needs import EVENT_TIMESTAMP, SpineNeeds
from app.exports.spine_rows import check_cells, columns_of_rows, table_of

Entities: TypeAlias = Mapping[str, Sequence[Any]] | Sequence[Any] | pa.Table | pa.RecordBatchReader
"""JSON columns with a value per entity, JSON objects, or Arrow columns of keys."""


def spine_of_rows(rows: Sequence[Any], needs: SpineNeeds, target: Path, where: str = "rows") -> SpineFile:
    """The spine that JSON objects make, written to `target`.

    Join keys, request fields and `event_timestamp` are read as those of pushes, strictly by type; other columns get the
    type that Arrow infers. What a row leaves out is null. Raises InvalidRequestError that names rows and columns; the
    caller calls the list `where`.
    """
    needs.check_rows(len(rows))

    def place(row: int, column: str) -> str:
        return f"{where}[{row}].{column}"

    table = table_of(columns_of_rows(rows, where), needs, SpineFaults(place))
    return normalised(table.schema, table.to_batches(), needs, target, SpineFaults(place))


def spine_of_file(
    path: Path, needs: SpineNeeds, target: Path, *, format_name: str | None = None, name: str | None = None
) -> SpineFile:
    """The spine in a Parquet, CSV or Arrow IPC file, written to `target`.

    The format is `format_name` where that is given, else what the suffix of `name` (default: that of the path) says,
    else what the first bytes say. Times without a zone are UTC, dates midnight, numbers epoch seconds. Raises
    InvalidRequestError that names rows (the first is 0) and columns.
    """
    kind = recognised(path, format_name, name)
    if kind is SpineFormat.CSV:
        return _spine_of_csv(path, needs, target)
    with open_parquet(path, needs) if kind is SpineFormat.PARQUET else open_arrow(path) as (schema, batches):
        return normalised(schema, batches, needs, target, SpineFaults())


def _spine_of_csv(path: Path, needs: SpineNeeds, target: Path) -> SpineFile:
    declared = {*needs.fields, EVENT_TIMESTAMP}
    try:
        with open_csv(path, declared, None) as (schema, batches):
            return normalised(schema, batches, needs, target, SpineFaults(), written=True)
    except ContradictionError:
        with open_csv(path, declared, column_types(path, declared)) as (schema, batches):
            return normalised(schema, batches, needs, target, SpineFaults(), written=True)


def spine_of_grid(entities: Entities, grid: TimeGrid, needs: SpineNeeds, target: Path) -> SpineFile:
    """The spine of every entity at every moment of the grid, written to `target`: the entities in the order given, each
    with its times ascending, and `event_timestamp` as the last column.

    Raises InvalidRequestError where that would be too many rows: before anything is made of them, or, where a reader
    does not say how many entities it has, as soon as there are too many.
    """
    if isinstance(entities, pa.RecordBatchReader):
        return _spine_of_entities(entities, grid, needs, target)
    if not isinstance(entities, pa.Table):
        if not (entities or needs.fields):  # features of no entity, which are the same for everything
            check_product(1, grid, needs)
            return write_spine(target, grid_schema(pa.schema([])), moments_alone(grid))
        if isinstance(entities, Mapping):
            columns, place = entity_columns(entities), _in_columns
            check_cells(len(columns), max(map(len, columns.values()), default=0), "entities")
        else:
            columns, place = columns_of_rows(entities, "entities"), _in_objects
        check_product(max(map(len, columns.values()), default=0), grid, needs)
        entities = table_of(columns, needs, SpineFaults(place), timed=False)
    check_product(entities.num_rows, grid, needs)
    return _spine_of_entities(entities.to_reader(), grid, needs, target)


def _spine_of_entities(entities: pa.RecordBatchReader, grid: TimeGrid, needs: SpineNeeds, target: Path) -> SpineFile:
    faults = SpineFaults(_in_objects)
    columns = SpineColumns(entities.schema, needs, faults, written=False, timed=False)
    faults.raise_any()
    good = (batch for batch in converted(entities, columns, needs, faults) if not faults)
    return write_spine(target, grid_schema(columns.schema), crossed(good, grid, needs), faults.raise_any)


def _in_objects(row: int, column: str) -> str:
    return f"entities[{row}].{column}"


def _in_columns(row: int, column: str) -> str:
    return f"entities.{column}[{row}]"
