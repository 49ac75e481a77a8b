"""A DataFrame as Feast's client sends it, columns of JSON values, turned into rows for a push.

With `online_store: {type: remote}` the client sends the timestamps as `event_timestamp` and `created`, in naive UTC,
whatever the source calls them; and JSON, maps and structs as text, so that the server's DataFrame has columns of text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.domain import SourceSpec, ViewSpec
from app.errors import FieldError, InvalidRequestError
from app.pushing.schema import CREATED_TIMESTAMP, EVENT_TIMESTAMP

_SENT_CREATED = "created"
"""What the client calls the created timestamp."""
_DUMMY = "__dummy_id"
"""The join key that Feast gives a view without entities."""
_MOST_EXACT = 2**53


def frame_rows(df: Mapping[str, Any], views: Sequence[ViewSpec]) -> list[dict[str, Any]]:
    """The rows of a DataFrame for `views`, which share a source: their join keys and features by name, and the times
    under the neutral names. Raises InvalidRequestError that names every column that is unknown, missing, repeated or of
    another length."""
    types = {field.name: field.dtype for view in views for field in [*view.join_keys, *view.features]}
    columns: dict[str, list[Any]] = {}
    faults: list[FieldError] = []
    for given, values in df.items():
        name = _column(given, types, views[0].source)
        if name is None:
            faults.append(FieldError(f"df.{given}", f"unknown; expected: {', '.join([*types, EVENT_TIMESTAMP])}"))
        elif name in columns:
            faults.append(FieldError(f"df.{given}", f"gives {name} a second time"))
        elif not isinstance(values, list):
            faults.append(FieldError(f"df.{given}", "must be an array with one value per row"))
        elif name != _DUMMY:
            columns[name] = _native(values, types.get(name, ""))
    faults += [FieldError(f"df.{name}", "is missing") for name in types if name not in columns and name not in df]
    if len({len(values) for values in columns.values()}) > 1:
        shown = ", ".join(f"{name} has {len(values)}" for name, values in columns.items())
        faults.append(FieldError("df", f"all columns must have the same number of rows: {shown}"))
    if faults:
        raise InvalidRequestError("The columns do not fit", faults)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _column(given: str, types: Mapping[str, str], source: SourceSpec | None) -> str | None:
    """What a column of the DataFrame is called in a row; None for one that has no place there."""
    if given in types:
        return given
    mapped = source.field_mapping.get(given, given) if source else given
    if mapped in types:
        return mapped
    if given in (EVENT_TIMESTAMP, source.timestamp_field if source else EVENT_TIMESTAMP):
        return EVENT_TIMESTAMP
    if given in (_SENT_CREATED, CREATED_TIMESTAMP, source.created_timestamp_column if source else _SENT_CREATED):
        return CREATED_TIMESTAMP
    return _DUMMY if given == _DUMMY else None


def _native(values: Sequence[Any], dtype: str) -> list[Any]:
    """A column with the forms taken back that only a DataFrame and its transport need."""
    # A DataFrame has no other way to say null in a column of numbers.
    plain = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    unpack = _UNPACKED.get(dtype)
    return plain if unpack is None else [unpack(value) for value in plain]


def _whole(value: Any) -> Any:
    """A column of integers with a null in it is one of floats in a DataFrame."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MOST_EXACT:
        return int(value)
    return value


def _parsed(value: Any) -> Any:
    """What JSON text says; text that is none stays, for the check of the row to refuse it or take it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _each(value: Any) -> Any:
    return [_parsed(entry) for entry in value] if isinstance(value, list) else value


_UNPACKED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("INT32", "INT64"), _whole),
    **dict.fromkeys(("JSON", "MAP", "SCALAR_MAP", "STRUCT"), _parsed),
    **dict.fromkeys(("JSON_LIST", "MAP_LIST", "STRUCT_LIST"), _each),
}
"""Feature type -> what takes back the form that the client gives its values."""
