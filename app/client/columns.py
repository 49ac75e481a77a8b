"""pandas and Arrow on the way out: columns of JSON values as a DataFrame or a Table. Both are imported when asked for.

What type a column has is read from its values, unless the caller knows better (`types`): JSON does not tell a time from
text, and a column without any value has no type at all.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import pyarrow

_BYTES = {"BYTES", "PDF_BYTES", "IMAGE_BYTES"}
_TIMES = {"UNIX_TIMESTAMP", "ZONED_TIMESTAMP"}
_TEXT = {"STRING", "UUID", "TIME_UUID", "DECIMAL"}
_OBJECTS = {"MAP", "SCALAR_MAP", "STRUCT", "JSON"}
_FITTING_FLOAT = 2**53


@dataclass(frozen=True)
class Column:
    """A column of an answer: its name, one JSON value per row, and its type by Feast's name where that is known."""

    name: str
    values: Sequence[Any]
    dtype: str = ""


def typed(columns: Sequence[Column], types: Mapping[str, str] | None) -> list[Column]:
    """The columns with the types that `types` gives by name. Raises ValueError for a type that Feast does not have."""
    for name, dtype in (types or {}).items():
        if _element(dtype) not in _BYTES | _TIMES | _TEXT | _OBJECTS | {"INT32", "INT64", "FLOAT", "DOUBLE", "BOOL"}:
            raise ValueError(f"{name}: {dtype} is not the name of a Feast value type")
    known = types or {}
    return [Column(column.name, column.values, column.dtype or known.get(column.name, "")) for column in columns]


def to_pandas(columns: Sequence[Column]) -> pandas.DataFrame:
    """A DataFrame: integers stay exact as nullable Int64, then float64, boolean, datetime64[us, UTC], else object."""
    import pandas

    frame = pandas.DataFrame({place: _series(column) for place, column in enumerate(columns)})
    # One by one, so that a feature that was asked for twice is there twice.
    frame.columns = pandas.Index([column.name for column in columns], dtype=object)
    return frame


def to_arrow(columns: Sequence[Column]) -> pyarrow.Table:
    """An Arrow table: int64, double, bool, string, lists of these, timestamp[us, UTC]; objects and mixed lists as JSON
    text. A column without any value is of type null where its type is not known."""
    import pyarrow

    arrays = [_array(column) for column in columns]
    return pyarrow.Table.from_arrays(arrays, names=[column.name for column in columns])


def _series(column: Column) -> Any:
    import pandas

    values = _native(column)
    dtype = column.dtype or _kind(values)
    if dtype in ("INT32", "INT64"):
        return pandas.array(values, dtype="Int64" if dtype == "INT64" else "Int32")
    if dtype in ("FLOAT", "DOUBLE"):
        return pandas.array(values, dtype="float64" if dtype == "DOUBLE" else "float32")
    if dtype == "BOOL":
        return pandas.array(values, dtype="boolean")
    if dtype in _TIMES:
        return pandas.Series(values, dtype="datetime64[us, UTC]")
    return pandas.Series(values, dtype=object)


def _array(column: Column) -> Any:
    import pyarrow

    values = _native(column)
    dtype = column.dtype or _kind(values)
    if dtype in _OBJECTS or _element(dtype) in _OBJECTS:
        texts = [None if value is None else _json_text(value) for value in values]
        return pyarrow.array(texts, pyarrow.string())
    return pyarrow.array(values, _arrow_type(dtype))


def _arrow_type(dtype: str) -> Any:
    import pyarrow

    if not dtype:
        return pyarrow.null()
    scalars = {
        "INT32": pyarrow.int32(),
        "INT64": pyarrow.int64(),
        "FLOAT": pyarrow.float32(),
        "DOUBLE": pyarrow.float64(),
        "BOOL": pyarrow.bool_(),
        **dict.fromkeys(_TEXT, pyarrow.string()),
        **dict.fromkeys(_BYTES, pyarrow.binary()),
        **dict.fromkeys(_TIMES, pyarrow.timestamp("us", "UTC")),
    }
    element = _element(dtype)
    return scalars[dtype] if element == dtype else pyarrow.list_(scalars[element])


def _kind(values: Sequence[Any]) -> str:
    """The type that all values share, by Feast's name; JSON where they share none, and "" where there are none."""
    kinds = {_kind_of(value) for value in values if value is not None}
    if kinds == {"INT64", "DOUBLE"}:
        whole = [value for value in values if type(value) is int]
        return "DOUBLE" if all(abs(value) <= _FITTING_FLOAT for value in whole) else "JSON"
    return kinds.pop() if len(kinds) == 1 else "JSON" if kinds else ""


def _kind_of(value: Any) -> str:
    if isinstance(value, list):
        element = _kind(value)
        # A list without values would fit any type.
        return f"{element}_LIST" if element and element != "JSON" and not element.endswith("_LIST") else "JSON"
    if type(value) is int:
        return "INT64" if -(2**63) <= value < 2**63 else "JSON"
    kinds = {bool: "BOOL", float: "DOUBLE", str: "STRING", datetime: "UNIX_TIMESTAMP"}
    return kinds.get(type(value), "JSON")


def _native(column: Column) -> Sequence[Any]:
    """The values as Python has them: times and bytes, which JSON carries as text."""
    element = _element(column.dtype)
    if element not in _BYTES | _TIMES:
        return column.values
    decode = base64.b64decode if element in _BYTES else _moment
    if element == column.dtype:
        return [_decoded(value, decode) for value in column.values]
    return [None if value is None else [_decoded(entry, decode) for entry in value] for value in column.values]


def _decoded(value: Any, decode: Any) -> Any:
    return decode(value) if isinstance(value, str) else value


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _element(dtype: str) -> str:
    return dtype.removesuffix("_LIST").removesuffix("_SET")


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
