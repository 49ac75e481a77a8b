"""Rows cut into groups at places that depend on the rows alone, whatever batches they come in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.exports.plain_types import is_varying

_STEP = 1_000
"""Rows after which a group of rows of varying length may end."""


class RowGroups:
    """Groups of `rows` rows, fewer where they would take more than about `size` bytes: what bounds the memory of a
    writer, and what makes its bytes independent of the batches that it was given."""

    def __init__(self, schema: pa.Schema, rows: int = 100_000, size: int = 64 * 2**20) -> None:
        self._schema = schema
        self._varying = [number for number, field in enumerate(schema) if is_varying(field.type)]
        width = sum(_width(field.type) for field in schema if not is_varying(field.type))
        self._limit = max(1, min(rows, int(size / max(width, 1))))
        self._width, self._size = width, size
        self._step = min(_STEP, self._limit) if self._varying else self._limit
        self._clear()

    def _clear(self) -> None:
        self._parts: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0.0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        """Take more rows; the groups that they complete, each in one chunk."""
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, self._step - self._rows % self._step)
            start += part.num_rows
            self._parts.append(part)
            self._rows += part.num_rows
            self._bytes += part.num_rows * self._width + sum(_size(part.column(n)) for n in self._varying)
            whole = self._rows % self._step == 0
            if whole and (self._rows + self._step > self._limit or self._bytes >= self._size):
                yield from self.rest()

    def rest(self) -> Iterator[pa.Table]:
        """The last group, where there are rows that are in none."""
        if self._parts:
            group = pa.Table.from_batches(self._parts, self._schema).combine_chunks()
            self._clear()
            yield group


def _width(dtype: pa.DataType) -> float:
    """Bytes of a value of a type that does not vary."""
    if pa.types.is_struct(dtype):
        return sum(_width(field.type) for field in dtype)
    if pa.types.is_fixed_size_list(dtype):
        return int(dtype.list_size) * _width(dtype.value_type)
    return 0 if pa.types.is_null(dtype) else int(dtype.bit_width) / 8


def _size(array: pa.Array) -> float:
    """Bytes of the values themselves: buffers may hold more, and how much depends on where they came from."""
    dtype = array.type
    if not is_varying(dtype):
        return len(array) * _width(dtype)
    if pa.types.is_struct(dtype):
        return sum(_size(child) for child in array.flatten())
    if pa.types.is_map(dtype):
        array = array.take(pa.array(np.arange(len(array))))
        return 4 * len(array) + _size(array.keys) + _size(array.items)
    if pa.types.is_nested(dtype):
        return 4 * len(array) + _size(array.flatten())
    return 4 * len(array) + int(pc.sum(pc.binary_length(array)).as_py() or 0)
