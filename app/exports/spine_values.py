"""Columns of a spine, made the types that join keys and request fields are declared to have: all values at one look
where all are good, one by one where one is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from app.arrow_values import from_arrow
from app.exports.spine_faults import Fault
from app.exports.spine_times import to_moments
from app.exports.spine_types import cast_or_none, declared_type, plain_type
from app.values import RangeFault, ValueFault, parse

Converted = tuple[pa.Array, Sequence[Fault]]
"""Values of the declared type, null where there was null or a fault; and the faults."""

_UUID = "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"
_NUMBER = re.compile(r"[+-]?\d{1,400}(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def convert(array: pa.Array, dtype: str) -> Converted:
    """The values of a column that `fits`. NaN in a column of numbers, as pandas writes it, is null; a whole float is an
    integer; times become UTC microseconds. Null stays null."""
    array = plain(array)
    if dtype in ("UNIX_TIMESTAMP", "ZONED_TIMESTAMP"):
        return to_moments(array)
    wanted = declared_type(dtype)
    if kinds.is_null(array.type):
        return pa.nulls(len(array), wanted), ()
    if kinds.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if kinds.is_nested(array.type):
        array = _readable(array)
    quick = _at_one_look(array, dtype, wanted)
    return _array_of(array, dtype, wanted, _native) if quick is None else (quick, ())


def convert_written(array: pa.Array, dtype: str) -> Converted:
    """The values that texts say, as a CSV file holds them: numbers, true and false, RFC 3339 or epoch seconds, base64,
    and JSON for lists."""
    if dtype in ("UNIX_TIMESTAMP", "ZONED_TIMESTAMP"):
        return to_moments(array, written=True)
    wanted = declared_type(dtype)
    quick = _at_one_look(array, dtype, wanted) if wanted == pa.string() else _read_at_one_look(array, wanted)
    return _array_of(array, dtype, wanted, _said) if quick is None else (quick, ())


def plain(array: pa.Array) -> pa.Array:
    """The same values in the layout of `plain_type`."""
    kind = array.type
    if kind == pa.uuid():
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    if isinstance(kind, pa.BaseExtensionType):
        return plain(array.storage)
    if kinds.is_dictionary(kind):
        return plain(array.dictionary_decode())
    if kinds.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(array))
    wanted = plain_type(kind)
    return array if kind == wanted else array.cast(wanted)


def _readable(array: pa.Array) -> pa.Array:
    """Lists of nanoseconds as lists of microseconds: Python has no time of more digits."""
    inner = array.type.value_type
    if not kinds.is_timestamp(inner):
        return array
    # Of a zone that only others know Python would make nothing.
    return array.cast(pa.list_(pa.timestamp("us", inner.tz and "UTC")), safe=False)


def _at_one_look(array: pa.Array, dtype: str, wanted: pa.DataType) -> pa.Array | None:
    if kinds.is_string(array.type) and (dtype != "STRING" or _has(array, "\0")):
        good = dtype in ("UUID", "TIME_UUID") and pc.all(pc.match_substring_regex(array, _UUID)).as_py() is not False
        return array if good else None
    if kinds.is_nested(wanted) or dtype == "DECIMAL":
        return None
    return _cast(array, wanted)


def _read_at_one_look(array: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    # Arrow would read 0x10 as a number, and 1 as true.
    if not (kinds.is_integer(wanted) or kinds.is_floating(wanted)) or _has(array, "x") or _has(array, "X"):
        return None
    return _cast(array, wanted)


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    # To round to the nearest float is no fault.
    column = cast_or_none(array, wanted, safe=not kinds.is_floating(wanted))
    if column is not None and kinds.is_floating(wanted) and pc.all(pc.is_finite(column)).as_py() is False:
        return None
    return column


def _has(array: pa.Array, text: str) -> bool:
    return bool(pc.any(pc.match_substring(array, text)).as_py())


def one_by_one(values: Iterable[Any], dtype: str, native: Callable[[Any, str], Any]) -> tuple[list[Any], list[Fault]]:
    """What `native` makes of each value; None stays, and stands for what it refuses with a ValueFault."""
    found: list[Any] = []
    faults = []
    for place, value in enumerate(values):
        try:
            found.append(None if value is None else native(value, dtype))
        except ValueFault as fault:
            found.append(None)
            faults.append((place, str(fault)))
    return found, faults


def _array_of(array: pa.Array, dtype: str, wanted: pa.DataType, native: Callable[[Any, str], Any]) -> Converted:
    values, faults = one_by_one(array.to_pylist(), dtype, native)
    return pa.array(values, wanted), faults


def _native(value: Any, dtype: str) -> Any:
    if dtype in ("INT32", "INT64") and isinstance(value, float | Decimal):
        value = _whole(Decimal(value))
    elif dtype in ("FLOAT", "DOUBLE") and isinstance(value, Decimal):
        value = float(value)
    elif dtype == "JSON":
        return _json_text(value)
    elif dtype == "JSON_LIST":
        return [None if entry is None else _json_text(entry) for entry in value]
    return parse(from_arrow(value, dtype), dtype)


def _whole(number: Decimal) -> int:
    if not number.is_finite():
        raise RangeFault("out of range for an integer")
    if number != int(number):
        raise ValueFault("expected an integer, got a number with a fraction")
    return int(number)


def _said(text: str, dtype: str) -> Any:
    if dtype in ("INT32", "INT64"):
        return parse(_whole(_number(text)), dtype)
    if dtype in ("FLOAT", "DOUBLE"):
        return None if text in ("nan", "NaN") else parse(float(_number(text)), dtype)
    if dtype == "BOOL":
        return parse(_TRUTH.get(text, text), dtype)
    if dtype == "JSON":
        return _json_text(text)
    if dtype.endswith(("_LIST", "_SET")):
        values = parse(_from_json(text), dtype)
        return [json_text(entry) for entry in values] if dtype.startswith("JSON") else values
    return parse(text, dtype)


def _number(text: str) -> Decimal:
    if _NUMBER.fullmatch(text) is None:
        raise ValueFault("expected a number")
    return Decimal(text)


def _json_text(text: str) -> str:
    return json_text(parse(_from_json(text), "JSON"))


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise ValueFault("expected JSON") from None


def json_text(value: Any) -> str:
    """A JSON value as text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
