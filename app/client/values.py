"""Python values to JSON values: exactly, or not at all."""

from __future__ import annotations

import base64
import math
import sys
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from app.domain import utc
from app.values import format_timestamp

_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def json_value(value: Any, place: str) -> Any:
    """The JSON value that the server takes for `value`. `place` says where it stands, for the error.

    Times become RFC 3339 in UTC (naive ones are UTC) with microseconds, bytes base64, Decimal and UUID text; numpy
    scalars and arrays what they hold. pandas' NA and NaT are null. Raises ValueError for NaN and infinities, which are
    no values: None says that there is none. Raises TypeError for what has no form in JSON.
    """
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place}: NaN and infinities cannot be sent; None stands for a missing value")
        return float(value)
    if is_pandas_missing(value):
        return None
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        # Rows are many and their values mostly plain: a place is not put into words before it is needed.
        return {
            _key(name, place): entry if type(entry) in _AS_THEY_ARE else json_value(entry, f"{place}.{name}")
            for name, entry in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [
            entry if type(entry) in _AS_THEY_ARE else json_value(entry, f"{place}[{index}]")
            for index, entry in enumerate(value)
        ]
    return _scalar(value, place)


def timestamp(value: datetime) -> str:
    """RFC 3339 in UTC; what is finer than microseconds is cut off, as the server does. Raises TypeError for what is no
    datetime."""
    if hasattr(value, "to_pydatetime"):  # a pandas.Timestamp, whose isoformat has nanoseconds
        value = value.to_pydatetime(warn=False)
    if not isinstance(value, datetime):
        raise TypeError(f"a time must be a datetime, not {type(value).__name__}")
    return format_timestamp(utc(value))


def moment(text: str | None) -> datetime | None:
    """The datetime, aware and in UTC, of a timestamp in an answer; None for null."""
    return None if text is None else datetime.fromisoformat(text)


def query_value(value: Any, place: str) -> str:
    """The text that stands for `value` in a query string. Raises ValueError for what only a body can carry."""
    plain = json_value(value, place)
    if plain is None or isinstance(plain, list | dict):
        kind = "None" if plain is None else type(value).__name__
        raise ValueError(f"{place}: {kind} cannot be written in a query string; use read_many")
    if isinstance(plain, bool):
        return str(plain).lower()
    return plain if isinstance(plain, str) else repr(plain)


def is_pandas_missing(value: Any) -> bool:
    """Whether it is pandas' NA or NaT. Nobody can hold one without having imported pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def _key(name: Any, place: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{place}: the name {name!r} must be text, not {type(name).__name__}")
    return name


def _scalar(value: Any, place: str) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic | numpy.ndarray):
        if value.dtype.kind == "M":
            # Of nanoseconds numpy would make plain integers.
            value = value.astype("datetime64[us]")
        plain = value.tolist()
        if type(plain) is not type(value):
            return json_value(plain, place)
    raise TypeError(f"{place}: a value of type {type(value).__name__} cannot be sent")
