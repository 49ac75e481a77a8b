"""Spines that stand in a request: rows as JSON objects, or columns of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from app.errors import FieldError, InvalidRequestError
from app.exports.spine_columns import NO_TIME
from app.exports.spine_faults import Fault, SpineFaults
from app.exports.spine_needs import EVENT_TIMESTAMP, SpineNeeds
from app.exports.spine_types import declared_type
from app.exports.spine_values import Converted, json_text, one_by_one
from app.value_columns import plain_column
from app.values import describe, parse

MOST_COLUMNS = 1_000
MOST_CELLS = 2_000_000
"""Rows times columns. What a row leaves out takes memory too, so that a small body could ask for a huge table."""

_MOST_SHOWN = 20
_UNLIKE = (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError, RecursionError)
"""What Arrow raises for values that have no type in common."""


def columns_of_rows(rows: Sequence[Any], what: str) -> Mapping[str, Sequence[Any]]:
    """The columns of JSON objects, in the order in which they come up; null where an object lacks one. Raises
    InvalidRequestError, which calls the list `what`, where there is none, where one is no object, and where they are
    too many."""
    if not rows:
        raise InvalidRequestError("The spine has no rows", [FieldError(what, "must not be empty")])
    strange = [place for place, row in enumerate(rows) if not isinstance(row, dict)]
    if strange:
        shown = strange[:_MOST_SHOWN]
        faults = [FieldError(f"{what}[{place}]", f"must be an object, got {describe(rows[place])}") for place in shown]
        raise InvalidRequestError(f"{len(strange)} rows of the spine are no objects", faults)
    names = dict.fromkeys(name for row in rows for name in row)
    check_cells(len(names), len(rows), what)
    return {name: [row.get(name) for row in rows] for name in names}


def check_cells(columns: int, rows: int, what: str) -> None:
    """Raises InvalidRequestError where so many columns, or so many rows of them, are too much for a request."""
    faults = []
    if columns > MOST_COLUMNS:
        faults.append(f"at most {MOST_COLUMNS:,} different columns, got {columns:,}")
    if columns * rows > MOST_CELLS:
        faults.append(f"{rows:,} rows with {columns:,} columns are {columns * rows:,} cells; at most {MOST_CELLS:,}")
    if faults:
        advice = "send the spine as a file, or leave out columns"
        raise InvalidRequestError(
            "The spine is too large for a request", [FieldError(what, f"{fault}; {advice}") for fault in faults]
        )


def table_of(
    columns: Mapping[str, Sequence[Any]], needs: SpineNeeds, faults: SpineFaults, timed: bool = True
) -> pa.Table:
    """Columns of JSON values as Arrow keeps them: those of a declared type, and the times, decoded as pushes decode
    them, the others of the type that Arrow infers. Not `timed` are entities without times. Raises InvalidRequestError
    with everything that is wrong; `faults` says where a value is."""
    faults.add_column(needs.column_faults(list(columns), timed))
    arrays = []
    for name, values in columns.items():
        declared = needs.fields.get(name)
        dtype = "UNIX_TIMESTAMP" if name == EVENT_TIMESTAMP else declared and declared.dtype
        wanted = dtype and declared_type(dtype)
        if not dtype:
            array, found = _inferred(values)
        elif wanted is None:
            continue  # which is among the faults of columns
        else:
            array, found = _declared(values, dtype, wanted)
        if name == EVENT_TIMESTAMP:
            found = sorted([*found, *((place, NO_TIME) for place, value in enumerate(values) if value is None)])
        faults.add(name, found)
        arrays.append(array)
    faults.raise_any()
    return pa.Table.from_arrays(arrays, list(columns))


def _declared(values: Sequence[Any], dtype: str, wanted: pa.DataType) -> Converted:
    found: Sequence[Fault] = ()
    native = plain_column(values, dtype)
    if native is None:
        native, found = one_by_one(values, dtype, parse)
    if dtype == "JSON":
        native = [value if value is None else json_text(value) for value in native]
    elif dtype == "JSON_LIST":
        native = [value if value is None else [json_text(entry) for entry in value] for value in native]
    return pa.array(native, wanted), found


def _inferred(values: Sequence[Any]) -> Converted:
    """The values of a column without a declared type, or the first that has no type in common with those before it."""
    try:
        array = pa.array(values)
    except _UNLIKE:
        good, bad = 0, len(values)  # so many of the first have a type in common, and so many have none
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if _is_alike(values[:middle]) else (good, middle)
        message = f"{describe(values[good])} that does not fit the values before it, or that no column can hold"
        return pa.nulls(len(values)), [(good, message)]
    if kinds.is_floating(array.type) or kinds.is_nested(array.type):
        # NaN and infinities, which JSON does not have, but which its readers take.
        _, found = one_by_one(values, "JSON", parse)
        return array, found
    return array, ()


def _is_alike(values: Sequence[Any]) -> bool:
    try:
        pa.array(values)
    except _UNLIKE:
        return False
    return True
