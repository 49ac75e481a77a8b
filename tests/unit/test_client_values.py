"""Single values on their way to the server: those of other libraries, and those that are none."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from app.client.values import json_value


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05Z"),  # noqa: DTZ001
        (pd.Timestamp("2026-01-02T03:04:05.123456789", tz="Asia/Tokyo"), "2026-01-01T18:04:05.123456Z"),
        (np.datetime64("2026-01-02T03:04:05.123456789"), "2026-01-02T03:04:05.123456Z"),
        (np.array(["2026-01-02", "NaT"], "datetime64[ns]"), ["2026-01-02T00:00:00Z", None]),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (np.int64(2**53 + 1), 2**53 + 1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.str_("a"), "a"),
        (bytearray(b"\x00\x01\xff"), "AAH/"),
        ({"a": (1, None)}, {"a": [1, None]}),
        (pd.NA, None),
        (pd.NaT, None),
    ],
)
def test_values_of_other_libraries(value: Any, sent: Any) -> None:
    assert json_value(value, "x") == sent
    assert type(json_value(value, "x")) is type(sent)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "x:"),
        (float("inf"), "x:"),
        (np.float64("nan"), "x:"),
        ([1.0, float("nan")], r"x\[1\]:"),
        ({"a": {"b": float("-inf")}}, "x.a.b:"),
        (np.array([0.0, np.nan]), r"x\[1\]:"),
    ],
)
def test_nan_is_no_value(value: Any, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        json_value(value, "x")


@pytest.mark.parametrize("value", [object(), timedelta(1), 1j, {1: 2}, np.timedelta64(1, "s"), pa.scalar(1)])
def test_what_json_cannot_say_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match="x"):
        json_value(value, "x")
