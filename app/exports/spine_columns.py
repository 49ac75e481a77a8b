"""The columns of a spine on their way into its file: which they are, of which types, and each batch of them brought to
these."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from app.errors import FieldError
from app.exports.spine_faults import Fault, SpineFaults
from app.exports.spine_needs import EVENT_TIMESTAMP, SpineNeeds
from app.exports.spine_times import to_moments
from app.exports.spine_types import MOST_LEVELS, UTC_MICROS, declared_type, fits, is_deep, stored_type
from app.exports.spine_values import Converted, convert, convert_written, plain

NO_TIME = "a row needs its time, got null"
_LAST = 2**63 - 2
"""The last microsecond of DuckDB, either way; beyond it is infinity."""
_FEW = 5


class SpineColumns:
    """The columns of one source. `schema` is what the spine's file will have: the source's columns in its order, the
    event timestamp in UTC microseconds, and declared types where there are any."""

    def __init__(self, found: pa.Schema, needs: SpineNeeds, faults: SpineFaults, written: bool, timed: bool) -> None:
        """Adds to `faults` what is wrong with whole columns; `convert` is for where nothing is. The columns with a
        declared type are text where they are `written`. Not `timed` are entities without times."""
        faults.add_column(needs.column_faults(found.names, timed))
        self._converters: list[Callable[[pa.Array], Converted]] = []
        fields = []
        for field in found:
            kind, converter = self._column(field, needs, faults, written)
            fields.append(pa.field(field.name, kind))
            self._converters.append(converter)
        self.schema = pa.schema(fields)

    def _column(
        self, field: pa.Field, needs: SpineNeeds, faults: SpineFaults, written: bool
    ) -> tuple[pa.DataType, Callable[[pa.Array], Converted]]:
        declared = needs.fields.get(field.name)
        if field.name == EVENT_TIMESTAMP:
            if not fits(field.type, "UNIX_TIMESTAMP"):
                message = f"is a column of {field.type}; needed are timestamps, RFC 3339 texts or epoch seconds"
                faults.add_column([FieldError(field.name, message)])
            return UTC_MICROS, _event_times(written)
        if declared is not None:
            dtype = declared.dtype
            wanted = declared_type(dtype)
            if wanted is not None and not (written or fits(field.type, dtype)):
                message = f"is a column of {field.type}, but the registry has it as {dtype}; convert it first"
                faults.add_column([FieldError(field.name, message)])
            change = convert_written if written else convert
            return wanted or pa.null(), lambda array: change(array, dtype)
        if is_deep(field.type):
            message = f"is nested more than {MOST_LEVELS} levels deep; flatten it, or write it as a text of JSON"
            faults.add_column([FieldError(field.name, message)])
            return pa.null(), lambda array: (array, ())
        stored = stored_type(field.type)
        if stored is None:
            faults.add_column([FieldError(field.name, f"columns of {field.type} cannot be kept; convert it first")])
            return pa.null(), lambda array: (array, ())
        return stored, lambda array: _passed_on(array, stored)

    def convert(self, batch: pa.RecordBatch, first_row: int, faults: SpineFaults) -> pa.RecordBatch:
        """The batch as `schema` says; faulty values are null in it, and added to `faults`."""
        arrays = []
        for field, array, converter in zip(self.schema, batch.columns, self._converters, strict=True):
            values, found = converter(array)
            faults.add(field.name, found, first_row)
            arrays.append(values)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _event_times(written: bool) -> Callable[[pa.Array], Converted]:
    def change(array: pa.Array) -> Converted:
        moments, faults = to_moments(plain(array), written)
        if moments.null_count == len(faults):
            return moments, faults
        known = {place for place, _ in faults}
        nulls = pc.indices_nonzero(moments.is_null()).to_pylist()
        missing: list[Fault] = [(place, NO_TIME) for place in nulls if place not in known]
        return moments, sorted([*faults, *missing])

    return change


def _passed_on(array: pa.Array, stored: pa.DataType) -> Converted:
    values = _kept(array, stored)
    if values is not None:
        return values, ()
    faulty = (place for place in range(len(array)) if _kept(array.slice(place, 1), stored) is None)
    return pa.nulls(len(array), stored), [(place, "a value too large to be kept") for place in islice(faulty, _FEW)]


def _kept(array: pa.Array, stored: pa.DataType) -> pa.Array | None:
    """The values of a further column as its file has them; None where some would not come back: DuckDB knows no time
    as far away as Arrow does."""
    try:
        values = array if array.type == stored else array.cast(stored)
        if not kinds.is_timestamp(stored) or stored.unit == "ns":
            return values
        bounds = pc.min_max(values.cast(pa.timestamp("us", stored.tz)).cast(pa.int64())).as_py()
    except pa.ArrowInvalid:
        return None
    return values if bounds["min"] is None or -_LAST <= bounds["min"] <= bounds["max"] <= _LAST else None
