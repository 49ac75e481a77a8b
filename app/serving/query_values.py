"""Values in a query string, where everything is text."""

from __future__ import annotations

from typing import Any

from app.values import FLAT_TYPES, ValueFault, parse


def parse_text(text: str, dtype: str) -> Any:
    """The native value of a query-string value. Raises ValueFault; only scalar types can be written in a query."""
    if dtype in ("INT32", "INT64"):
        if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 20:
            raise ValueFault("expected an integer")
        return parse(int(text), dtype)
    if dtype in ("FLOAT", "DOUBLE"):
        try:
            return parse(float(text), dtype)
        except ValueError as fault:
            raise fault if isinstance(fault, ValueFault) else ValueFault("expected a number") from None
    if dtype == "BOOL":
        if text.lower() not in ("true", "false"):
            raise ValueFault("expected true or false")
        return text.lower() == "true"
    if dtype in FLAT_TYPES:
        return parse(text, dtype)
    raise ValueFault(f"values of type {dtype} cannot be given in a query string; POST them as JSON")
