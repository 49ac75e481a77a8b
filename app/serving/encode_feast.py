"""Answers in the shape of Feast's feature server: one vector of values, statuses and event timestamps per feature.

Values are written as Feast 0.67 writes them: timestamps as seconds since 1970, JSON as text, bytes as base64. Feast's
client tells types by what it sees, so a floating-point number always has a decimal point.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from numbers import Integral
from typing import Any

import orjson

from app.serving.encode import dumps, to_datetimes
from app.serving.plan import ServingPlan
from app.serving.reader import OnlineResult
from app.serving.shape import PRESENT
from app.values import to_json

_PRESENT = orjson.dumps(PRESENT)
_NO_TIME = b'"1970-01-01T00:00:00Z"'
"""What Feast writes for a value that has no event timestamp."""
# Feast writes three digits of a second where the other three are zero.
_MILLISECONDS = re.compile(rb"(\.\d{3})000Z")


@dataclass(slots=True)
class VectorPart:
    """Some rows of every vector: what stands between the brackets; values and statuses by output, times by view."""

    rows: int
    values: list[bytes]
    statuses: list[bytes]
    timestamps: list[bytes]


def encode_vectors(plan: ServingPlan, result: OnlineResult) -> VectorPart:
    """The rows of one result."""
    columns = [encode_column(column, output.dtype) for column, output in zip(result.values, plan.outputs, strict=True)]
    statuses = [_repeat(_PRESENT, result.rows)] * len(columns)
    if result.odd:
        rows = [result.odd.get(row) or plan.shape.all_present for row in range(result.rows)]
        statuses = [orjson.dumps(column)[1:-1] for column in zip(*rows, strict=True)]
    return VectorPart(result.rows, columns, statuses, [_timestamps(moments) for moments in result.moments])


def encode_answer(
    plan: ServingPlan,
    keys: Mapping[str, Sequence[Any]],
    parts: Sequence[VectorPart],
    full_names: bool,
    with_versions: bool,
) -> bytes:
    """The whole answer: the vectors of the join keys, in the order of `keys`, then those of the features."""
    rows = sum(part.rows for part in parts)
    no_times = _repeat(_NO_TIME, rows)
    present = _repeat(_PRESENT, rows)
    vectors = [
        _vector(encode_column(values, plan.join_keys[name].dtype), present, no_times) for name, values in keys.items()
    ]
    times = [b",".join(column) for column in zip(*[part.timestamps for part in parts], strict=True)]
    for number, output in enumerate(plan.outputs):
        vectors.append(
            _vector(
                b",".join([part.values[number] for part in parts]),
                b",".join([part.statuses[number] for part in parts]),
                # On-demand features have none.
                no_times if output.on_demand else times[output.index],
            )
        )
    metadata: dict[str, Any] = {"feature_names": [*keys, *plan.names(full_names)]}
    if with_versions:
        metadata["feature_view_metadata"] = _versions(plan)
    return b'{"results":[' + b",".join(vectors) + b'],"metadata":' + orjson.dumps(metadata) + b"}"


def encode_column(column: Sequence[Any], dtype: str) -> bytes:
    """The values of one vector, without its brackets."""
    convert = _CONVERTERS.get(dtype)
    return dumps(convert(column) if convert else column)[1:-1]


def _vector(values: bytes, statuses: bytes, timestamps: bytes) -> bytes:
    return b'{"values":[%b],"statuses":[%b],"event_timestamps":[%b]}' % (values, statuses, timestamps)


def _repeat(text: bytes, times: int) -> bytes:
    return ((text + b",") * times)[:-1]


def _timestamps(moments: Sequence[int | None]) -> bytes:
    filled = [0 if moment is None else moment for moment in moments] if None in moments else moments
    return _MILLISECONDS.sub(rb"\1Z", dumps(to_datetimes(filled))[1:-1])


def _versions(plan: ServingPlan) -> list[dict[str, Any]]:
    """Name and version number of every stored view that is read, without a number where it is 0, as protobuf does."""
    numbers = {read.shown_as.partition("@")[0]: read.view.version for read in reversed(plan.views)}
    return [
        {"name": name, "version": number} if number else {"name": name} for name, number in reversed(numbers.items())
    ]


def _floats(column: Sequence[Any]) -> Sequence[Any]:
    """Stored values are floats already; a function of the user's may return others."""
    if set(map(type, column)) <= {float, type(None)}:
        return column
    return [float(value) if isinstance(value, Integral) and not isinstance(value, bool) else value for value in column]


def _seconds(column: Sequence[Any]) -> list[Any]:
    return [
        # pandas' NaT is a datetime, too, and like NaN not equal to itself.
        (math.floor(value.timestamp()) if value == value else None) if isinstance(value, datetime) else value
        for value in column
    ]


def _texts(column: Sequence[Any]) -> list[Any]:
    return [
        None if value is None else json.dumps(to_json(value), ensure_ascii=False, separators=(",", ":"))
        for value in column
    ]


def _inside(convert: Callable[[Sequence[Any]], Sequence[Any]]) -> Callable[[Sequence[Any]], list[Any]]:
    return lambda column: [None if values is None else convert(values) for values in column]


_CONVERTERS: dict[str, Callable[[Sequence[Any]], Sequence[Any]]] = {
    "FLOAT": _floats,
    "DOUBLE": _floats,
    "UNIX_TIMESTAMP": _seconds,
    "UNIX_TIMESTAMP_LIST": _inside(_seconds),
    "UNIX_TIMESTAMP_SET": _inside(_seconds),
    "JSON": _texts,
    "JSON_LIST": _inside(_texts),
}
"""Feature type -> what makes of native values (app.values) those that Feast writes; other types need nothing."""
