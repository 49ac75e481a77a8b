"""Native values from the Python objects that Arrow gives (app.values says which type is which)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def from_arrow(value: Any, dtype: str) -> Any:
    """The native value of type `dtype` that Arrow gave; naive times are UTC, and NaN, as pandas writes it, is null."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC)
    base, _, collection = dtype.rpartition("_")
    if collection in ("LIST", "SET") and base in ("JSON", "MAP", "SCALAR_MAP") and isinstance(value, list):
        return [from_arrow(entry, base) for entry in value]
    if dtype == "JSON" and isinstance(value, str):
        return json.loads(value)
    if dtype in ("MAP", "SCALAR_MAP") and isinstance(value, list):
        return dict(value)
    return value
