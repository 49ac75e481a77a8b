"""Values: between JSON and native Python, strictly by feature type.

Native types: INT32 and INT64 int; FLOAT and DOUBLE float; BOOL bool; STRING, UUID, TIME_UUID, DECIMAL str; BYTES bytes;
UNIX_TIMESTAMP datetime in UTC; *_LIST and *_SET list; MAP, SCALAR_MAP and STRUCT dict; JSON anything that JSON can
say. In JSON bytes are base64 and timestamps RFC 3339. NaN and infinities are refused on the way in, null on the way
out.
"""

from __future__ import annotations

import base64
import decimal
import math
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from app.domain import utc

# Stores count seconds from 1970 in local time or in nanoseconds; at the ends of the calendar they fail.
EARLIEST, LATEST = datetime(1800, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_DEEPEST = 64

_BYTES_TYPES = {"BYTES", "PDF_BYTES", "IMAGE_BYTES"}


class ValueFault(ValueError):
    """A value that does not fit its type; the message says what was expected and what came, never the whole value."""


class RangeFault(ValueFault):
    """A value of the right type that is too large or too small for it, or not finite."""


def describe(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "NaN or infinite" if not math.isfinite(value) else "a number with a fraction"
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _integer(bits: int) -> Callable[[Any], int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueFault(f"expected an integer, got {describe(value)}")
        if not low <= value <= high:
            raise RangeFault(f"out of range for a {bits}-bit integer")
        return value

    return parse


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueFault(f"expected a number, got {describe(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RangeFault("expected a finite number, got NaN or an infinity")
    try:
        return float(value)
    except OverflowError:
        raise RangeFault("out of range for a 64-bit float") from None


def _float(value: Any) -> float:
    number = _double(value)
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        raise RangeFault("out of range for a 32-bit float") from None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueFault(f"expected a string, got {describe(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueFault("not valid Unicode: it holds a lone surrogate") from None
    if "\0" in value:
        raise ValueFault("must not hold a NUL character, which PostgreSQL cannot store")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueFault(f"expected true or false, got {describe(value)}")
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    text = _string(value)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueFault("expected base64") from None


def parse_timestamp(value: Any) -> datetime:
    """A moment in UTC from RFC 3339 text or epoch seconds, truncated to microseconds; naive text is UTC (rule 1)."""
    if isinstance(value, bool) or not isinstance(value, datetime | str | int | float):
        raise ValueFault(f"expected a time in RFC 3339 or epoch seconds, got {describe(value)}")
    try:
        if isinstance(value, int | float):
            moment = datetime.fromtimestamp(value, tz=UTC)
        else:
            moment = utc(value if isinstance(value, datetime) else datetime.fromisoformat(value))
    except (ValueError, OverflowError, OSError):
        raise ValueFault("expected a time in RFC 3339 (2026-01-31T12:00:00Z) or epoch seconds") from None
    if not EARLIEST <= moment < LATEST:
        raise RangeFault("expected a time between the years 1800 and 9000")
    return moment


def _uuid(value: Any) -> str:
    try:
        return str(uuid.UUID(_string(value)))
    except ValueError as fault:
        raise fault if isinstance(fault, ValueFault) else ValueFault("expected a UUID") from None


def _decimal(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str | decimal.Decimal):
        raise ValueFault(f"expected a decimal number as a string, got {describe(value)}")
    try:
        number = decimal.Decimal(value)
    except decimal.InvalidOperation:
        raise ValueFault("expected a decimal number") from None
    if not number.is_finite():
        raise RangeFault("expected a finite decimal number")
    return str(number)


def _object(value: Any, depth: int = 0) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueFault(f"expected an object, got {describe(value)}")
    return {_string(key): _json(entry, depth + 1) for key, entry in value.items()}


def _json(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueFault(f"nested deeper than {_DEEPEST} levels")
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(64)(value)
    if isinstance(value, list):
        return [_json(entry, depth + 1) for entry in value]
    if isinstance(value, dict):
        return _object(value, depth)
    if value is not None and not isinstance(value, bool):
        raise ValueFault(f"expected what JSON can say, got {describe(value)}")
    return value


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "INT32": _integer(32),
    "INT64": _integer(64),
    "FLOAT": _float,
    "DOUBLE": _double,
    "STRING": _string,
    "BOOL": _bool,
    "UNIX_TIMESTAMP": parse_timestamp,
    "ZONED_TIMESTAMP": parse_timestamp,
    "UUID": _uuid,
    "TIME_UUID": _uuid,
    "DECIMAL": _decimal,
    "MAP": _object,
    "SCALAR_MAP": _object,
    "STRUCT": _object,
    "JSON": _json,
    **dict.fromkeys(_BYTES_TYPES, _bytes),
}
FLAT_TYPES = frozenset(dtype for dtype, scalar in _SCALARS.items() if scalar not in (_object, _json))
"""The types whose values are one number, text or truth, and nothing that holds others."""


def parse(value: Any, dtype: str) -> Any:
    """The native value of a JSON value of type `dtype`; null stays None. Raises ValueFault."""
    if value is None:
        return None
    scalar = _SCALARS.get(dtype)
    if scalar is not None:
        return scalar(value)
    base, _, collection = dtype.rpartition("_")
    element = _SCALARS.get(base)
    if collection not in ("LIST", "SET") or (element is None and base != "VALUE"):
        raise ValueFault(f"values of type {dtype} cannot be written")
    if not isinstance(value, list):
        raise ValueFault(f"expected an array, got {describe(value)}")
    return [_element(entry, element or _json, index) for index, entry in enumerate(value)]


def _element(value: Any, element: Callable[[Any], Any], index: int) -> Any:
    try:
        return element(value)
    except ValueFault as fault:
        raise type(fault)(f"at index {index}: {fault}") from None


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with Z, and with microseconds only where there are any."""
    return utc(moment).isoformat().replace("+00:00", "Z")


def to_json(value: Any) -> Any:
    """The JSON value of a native value."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, dict):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, which on-demand transformations may return
        return to_json(value.tolist())
    return str(value)
