"""Cases worth running every time: what once failed, as the failing test printed it and cut down by hand, and odd values
that are drawn too seldom."""

from __future__ import annotations

import datetime
from decimal import Decimal
from math import inf, nan
from typing import Any
from uuid import UUID

from tests.differential.model import Case, Key, Projection, Request, Row, Service, View

__all__ = ["REPLAYS", "UUID", "Decimal", "inf", "nan"]  # the last four for the repr of a case


def one_value(
    dtype: str,
    value: Any,
    feature: str = "f",
    key: tuple[str, str, Any] = ("k", "STRING", "a"),
    when: datetime.datetime | datetime.timedelta = datetime.timedelta(minutes=1),
    view: str = "v",
) -> Case:
    """A repo with one view, one row and one feature; `key` is (name, type, value)."""
    name, key_type, entity = key
    asked = (Projection(view, (feature,)),)
    return Case(
        (Key(name, key_type),),
        (View(view, (name,), ((feature, dtype),), None, (Row((entity,), when, (value,)),)),),
        (Service("s", asked),),
        (Request("s", asked, ((name, (entity,)),), 1), Request(None, asked, ((name, (entity,)),), 1)),
    )


REPLAYS: dict[str, Case] = {
    "a JSON number beyond every double": one_value("JSON", "[1e999, -1e999, 1e-999]"),
    "a JSON object with a member twice": one_value("JSON", '{"a": 1, "a": 2}'),
    "a decimal with an exponent": one_value("DECIMAL_LIST", ["1E+2", "-0.00", "1E-400"]),
    "a view and a feature named with Feast's separator": one_value("STRING", "x", feature="__", view="__"),
    "a feature named like a column": one_value("STRING", "x", feature="event_timestamp"),
    "a join key named like an option": one_value("STRING", "x", key=("on_stale", "STRING", "a")),
    "a text key that looks like a number": one_value("STRING", "x", key=("k", "STRING", "007")),
    "the smallest int64 as a key": one_value("STRING", "x", key=("k", "INT64", -(2**63))),
    "a key with microseconds before 1970": one_value(
        "STRING", "x", key=("k", "UNIX_TIMESTAMP", datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, datetime.UTC))
    ),
    "an event before 1970, with microseconds": one_value(
        "INT64", 2**53 + 1, when=datetime.datetime(1701, 2, 3, 4, 5, 6, 123_457, datetime.UTC)
    ),
    "an event at 1970, with a value": one_value("STRING", "x", when=datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)),
    "an event at 1970 exactly, with nulls alone": one_value(
        "STRING", None, when=datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    ),
    "an integer of JSON beyond 64 bits": one_value("JSON", f"[{2**70}]"),
    "half of a surrogate pair in JSON": one_value("JSON", r'["\ud800"]'),
    "JSON nested 300 deep": one_value("JSON", "[" * 300 + "]" * 300),
    "a feature named like our clock in SQLite": one_value("STRING", "x", feature="_fc"),
    "a null inside a list of UUIDs": one_value("UUID_LIST", [None]),
    "a null inside a list of decimals": one_value("DECIMAL_LIST", [None]),
}
