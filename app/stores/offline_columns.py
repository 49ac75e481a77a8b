"""Columns of pushed rows in the form of a batch source: its names, its types, and which rows it cannot keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from app.arrow_columns import UTC_MICROS, as_utc, conformed, converter
from app.domain import ViewSpec
from app.errors import FieldError, InvalidRequestError, UnstorableRowsError
from app.pushing.batch import RowBatch

Faults = defaultdict[int, list[FieldError]]


class SourceNames:
    """The names of a view's columns in its batch source, by the source's field mapping."""

    def __init__(self, view: ViewSpec) -> None:
        self._mapping = dict(view.source.field_mapping) if view.source else {}
        self._inverse = {shown: stored for stored, shown in self._mapping.items()}
        event, created = (
            (view.source.timestamp_field, view.source.created_timestamp_column) if view.source else ("", None)
        )
        # Feast lets a mapping rename the columns of times as well; the source then goes by the new name.
        self.event = self.stored(event)
        """The column of the event timestamp."""
        self.created = self.stored(created) if created else None
        """The column of the created timestamp, where there is one."""

    def stored(self, name: str) -> str:
        """What the source calls a column of the view."""
        return self._inverse.get(name, name)

    def shown(self, table: pa.Table) -> pa.Table:
        """The table under the view's names, its times renamed and made UTC microseconds; naive ones are UTC."""
        data = {
            self._mapping.get(name, name): column
            for name, column in zip(table.column_names, table.columns, strict=True)
            if name not in (self.event, self.created)
        }
        data["event_timestamp"] = as_utc(table[self.event])
        data["created_timestamp"] = (
            as_utc(table[self.created]) if self.created else pa.nulls(table.num_rows, UTC_MICROS)
        )
        return pa.table(data)


@dataclass(frozen=True)
class Column:
    """One column of a batch as its source has it: `name` there, `shown` to who pushes, and the native values.

    `arrow` is None where Feast cannot say in which type such values are kept offline.
    """

    name: str
    shown: str
    values: Sequence[Any]
    arrow: pa.DataType | None


def source_columns(batch: RowBatch, names: SourceNames, types: Mapping[str, pa.DataType | None]) -> list[Column]:
    """The keys and features of a batch, in the order of `types`; a column that the batch lacks is null."""
    nulls = [None] * len(batch)
    return [Column(names.stored(name), name, batch.columns.get(name, nulls), wanted) for name, wanted in types.items()]


def time_columns(batch: RowBatch, timestamp: str, created: str | None) -> dict[str, pa.Array]:
    """The times of a batch under the names that the source gives them."""
    columns = {timestamp: pa.array(batch.event, pa.int64()).cast(UTC_MICROS)}
    if created:
        columns[created] = pa.array(batch.created, pa.int64()).cast(UTC_MICROS)
    return columns


def arrow_table(columns: Sequence[Column], times: Mapping[str, pa.Array]) -> pa.Table:
    """A batch as an Arrow table; columns without a type are left out, as they hold nothing but nulls.

    Raises UnstorableRowsError that names every value which has no place in its column.
    """
    faults: Faults = defaultdict(list)
    arrays = {column.name: arrow_array(column, faults) for column in columns}
    if faults:
        raise UnstorableRowsError(faults)
    return pa.table({name: array for name, array in arrays.items() if array is not None} | dict(times))


def arrow_array(column: Column, faults: Faults) -> pa.Array | None:
    """The values as Arrow keeps them; what it cannot keep becomes a fault, and None comes back."""
    wanted = column.arrow
    if wanted is None:
        message = "values of this type cannot be kept offline"
        for position, value in enumerate(column.values):
            if value is not None:
                faults[position].append(FieldError(column.shown, message))
        return None
    convert = converter(wanted)
    try:
        values = column.values if convert is None else [None if v is None else convert(v) for v in column.values]
        return pa.array(values, wanted)
    except _REFUSALS:
        for position, fault in _find(column, wanted, convert):
            faults[position].append(fault)
        return None


_REFUSALS = (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError, RecursionError)


def _find(
    column: Column, wanted: pa.DataType, convert: Callable[[Any], Any] | None
) -> Iterator[tuple[int, FieldError]]:
    message = f"cannot be kept offline as {wanted}"
    for position, value in enumerate(column.values):
        try:
            pa.array([value if convert is None or value is None else convert(value)], wanted)
        except _REFUSALS:
            yield position, FieldError(column.shown, message)


def fitted(table: pa.Table, schema: pa.Schema, shown: Mapping[str, str]) -> pa.Table:
    """The table with the types that `schema` has for its columns, called `shown` towards who pushes.

    Raises UnstorableRowsError that names every value which these types cannot hold.
    """
    # A column that was null throughout when it was written says nothing about its type.
    wanted = pa.schema([field for field in schema if not pa.types.is_null(field.type)])
    try:
        return conformed(table, wanted)
    except InvalidRequestError:
        faults: Faults = defaultdict(list)
        for name in set(table.column_names) & set(wanted.names):
            for position in range(table.num_rows):
                try:
                    conformed(table.select([name]).slice(position, 1), wanted)
                except InvalidRequestError as error:
                    message = error.errors[0].message
                    faults[position].append(FieldError(shown.get(name, name), message))
        if not faults:
            raise
        raise UnstorableRowsError(faults) from None
