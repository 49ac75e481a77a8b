"""Spines in CSV files. Every value is read as text first, so that none is damaged by a guess at its type.

An unquoted empty field is null; NA and NULL are words. Columns with a declared type are left as text here. A further
column is one of true and false, of integers or of numbers where each of its values is written as such, else it stays
text: 007 is no integer, nor is what has more than 64 bits. The first batch tells; where a later one contradicts it, the
file is looked through once for the types that fit all of it, and read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from app.exports.spine_formats import SpineFormat, checked, readable
from app.exports.spine_types import cast_or_none

_BLOCK = 2**20
_LADDER = (pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.string())
"""The types of further columns; each takes the first that fits all of its values."""
_TRUTH = pa.array(["true", "false", "True", "False", "TRUE", "FALSE"])
_NUMBER = r"^(-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?|nan|NaN|-?inf|-?Infinity)$"
"""Others, such as +4930123 and 00.5, may be codes."""
_WHOLE = r"^-?\d+$"
_EXACT = 2**53


class ContradictionError(Exception):
    """A value does not fit the type that those before it had; the types of `column_types` fit all."""


@contextmanager
def open_csv(
    path: Path, declared: Collection[str], types: Mapping[str, pa.DataType] | None
) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The rows of a CSV file; columns that are `declared` are text. Without `types` for the others the first batch
    tells them, and ContradictionError is raised where a later one does not fit. Raises InvalidRequestError where it is
    not CSV."""
    with _texts(path) as (names, texts):
        first = next(texts, None)
        if types is None:
            types = _fitting(names, declared, [] if first is None else [first])
        schema = pa.schema([pa.field(name, types.get(name, pa.string())) for name in names])
        yield schema, (_typed(batch, schema) for batch in _chained(first, texts))


def column_types(path: Path, declared: Collection[str]) -> Mapping[str, pa.DataType]:
    """The types that fit every value of the columns that are not `declared`."""
    with _texts(path) as (names, texts):
        return _fitting(names, declared, texts)


@contextmanager
def _texts(path: Path) -> Iterator[tuple[list[str], Iterator[pa.RecordBatch]]]:
    read = pc_csv.ReadOptions(block_size=_BLOCK)
    parse = pc_csv.ParseOptions(newlines_in_values=True)
    with readable(SpineFormat.CSV), pc_csv.open_csv(path, read, parse) as header:
        names = header.schema.names
    convert = pc_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with readable(SpineFormat.CSV):
        reader = pc_csv.open_csv(path, read, parse, convert)
    with reader:
        yield names, checked(iter(reader), SpineFormat.CSV)


def _chained(first: pa.RecordBatch | None, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if first is not None:
        yield first
        yield from others


def _fitting(
    names: list[str], declared: Collection[str], batches: Iterable[pa.RecordBatch]
) -> Mapping[str, pa.DataType]:
    fitting = {name: list(_LADDER) for name in names if name not in declared}
    for batch in batches:
        for name, array in zip(names, batch.columns, strict=True):
            if name in fitting and len(fitting[name]) > 1:
                fitting[name] = [kind for kind in fitting[name] if _as_kind(array, kind) is not None]
    return {name: kinds[0] for name, kinds in fitting.items()}


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for array, field in zip(batch.columns, schema, strict=True):
        typed = _as_kind(array, field.type)
        if typed is None:
            raise ContradictionError(field.name)
        arrays.append(typed)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _as_kind(array: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """What the texts say as values of that type; None where some say something else."""
    if kind == pa.string():
        return array
    if array.null_count == len(array):
        return pa.nulls(len(array), kind)
    if kind == pa.null():
        return None
    if kind == pa.bool_():
        return array.cast(kind) if _all(pc.is_in(array.drop_null(), _TRUTH)) else None
    if kind == pa.int64():
        values = cast_or_none(array, kind)
        return values if values is not None and _all(pc.equal(values.cast(pa.string()), array)) else None
    if not _all(pc.match_substring_regex(array, _NUMBER)):
        return None
    # Integers among them that a float would round.
    whole = cast_or_none(array.filter(pc.match_substring_regex(array, _WHOLE)), pa.int64())
    if whole is None or not _all(pc.and_(pc.less_equal(-_EXACT, whole), pc.less_equal(whole, _EXACT))):
        return None
    return cast_or_none(array, kind)


def _all(truths: pa.Array) -> bool:
    return pc.all(truths).as_py() is not False
