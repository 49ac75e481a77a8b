"""Native values to and from the Python objects that Arrow takes and gives (app.values says which type is which)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def to_arrow(value: Any, dtype: str) -> Any:
    """A native value of type `dtype` in the form that Arrow's constructors take: JSON as text, maps as pairs."""
    if value is None:
        return None
    if dtype == "JSON":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return list(value.items()) if isinstance(value, dict) else value


def from_arrow(value: Any, dtype: str) -> Any:
    """The native value of type `dtype` that Arrow gave; naive times are UTC, and NaN, as pandas writes it, is null."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC)
    if dtype == "JSON" and isinstance(value, str):
        return json.loads(value)
    if dtype in ("MAP", "SCALAR_MAP") and isinstance(value, list):
        return dict(value)
    return value
