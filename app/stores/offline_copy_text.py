"""Columns of pushed rows as the text that PostgreSQL's COPY takes: tab between columns, a line per row, \\N for null.

Text and not the binary form: the server parses it by the types that the table really has, which may be others than the
ones that Freshet would make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from app.arrow_columns import json_text
from app.errors import FieldError, UnstorableRowsError
from app.stores.offline_columns import Column, Faults, arrow_array

_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SPECIAL = ("\\", "\t", "\n", "\r")


def copy_text(columns: Sequence[Column], times: Sequence[Sequence[int]]) -> bytes:
    """The rows of these columns, without those that have no type, followed by the times (microseconds since 1970).

    Raises UnstorableRowsError that names every value which could be written, but not be read again as its type.
    """
    faults: Faults = defaultdict(list)
    texts = [text for text in (_texts(column, faults) for column in columns) if text is not None]
    if faults:
        raise UnstorableRowsError(faults)
    texts += [_moments(moments) for moments in times]
    return "".join([f"{line}\n" for line in map("\t".join, zip(*texts, strict=True))]).encode()


def _moments(moments: Sequence[int]) -> list[str]:
    stamps = pa.array(moments, pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
    return [f"{stamp}+00" for stamp in stamps.to_pylist()]


def _texts(column: Column, faults: Faults) -> list[str] | None:
    wanted, values = column.arrow, column.values
    if wanted is None:
        arrow_array(column, faults)
        return None
    if not _is_flat(wanted):
        # What is read again must fit the type of the feature, or one row would spoil every read of its source.
        return None if arrow_array(column, faults) is None else _checked(column, wanted, faults)
    encode = _SCALARS.get(wanted.id)
    if encode is not None:
        return [_NULL if value is None else encode(value) for value in values]
    if pa.types.is_string(wanted):
        return _strings(values)
    return _checked(column, wanted, faults)


def _checked(column: Column, wanted: pa.DataType, faults: Faults) -> list[str]:
    encode, texts = encoder(wanted), [_NULL] * len(column.values)
    for position, value in enumerate(column.values):
        if value is None:
            continue
        try:
            texts[position] = encode(value).translate(_ESCAPES)
        except (TypeError, ValueError, AttributeError, RecursionError):
            faults[position].append(FieldError(column.shown, f"cannot be kept offline as {wanted}"))
    return texts


def _strings(values: Sequence[str | None]) -> list[str]:
    everything = "".join([value for value in values if value])
    if any(special in everything for special in _SPECIAL):
        return [_NULL if value is None else value.translate(_ESCAPES) for value in values]
    return [_NULL if value is None else value for value in values]


def _bool(value: bool) -> str:
    return "t" if value else "f"


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"


# By Arrow's type ids: what can hold neither a tab, a line feed nor a backslash.
_SCALARS: dict[int, Callable[[Any], str]] = {
    pa.int32().id: str,
    pa.int64().id: str,
    pa.float32().id: repr,
    pa.float64().id: repr,
    pa.bool_().id: _bool,
    pa.timestamp("us").id: datetime.isoformat,
}


def _is_flat(wanted: pa.DataType) -> bool:
    """Whether PostgreSQL has a type of its own for it, alone or as an array."""
    if pa.types.is_list(wanted):
        wanted = wanted.value_type
    return not pa.types.is_nested(wanted) and not pa.types.is_large_string(wanted)


def encoder(wanted: pa.DataType) -> Callable[[Any], str]:
    """The text of a native value (never None) for PostgreSQL, before COPY's own escapes."""
    if pa.types.is_list(wanted) and not pa.types.is_list(wanted.value_type):
        element = encoder(wanted.value_type)
        quoted = wanted.value_type.id not in _SCALARS or pa.types.is_timestamp(wanted.value_type)
        return lambda values: "{" + ",".join([_element(value, element, quoted) for value in values]) + "}"
    if pa.types.is_nested(wanted) or pa.types.is_large_string(wanted):
        return json_text
    if pa.types.is_binary(wanted):
        return _hex
    return _SCALARS.get(wanted.id, str)


def _element(value: Any, encode: Callable[[Any], str], quoted: bool) -> str:
    if value is None:
        return "NULL"
    if not quoted:
        return encode(value)
    text = encode(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
