"""Durations as people write them: seconds, 15m, 26h, 7d, or ISO 8601 such as PT5M."""

from __future__ import annotations

import math
import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHORT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw]?)", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<weeks>\d{1,9})W)?(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)


def parse_duration(value: str | float) -> timedelta:
    """The duration that `value` says; a bare number is seconds. Raises ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 10**9:
        return timedelta(seconds=value)
    if isinstance(value, str):
        short = _SHORT.fullmatch(value.strip())
        if short:
            return _build({_UNITS[short[2] or "s"]: short[1]})
        iso = _ISO.fullmatch(value.strip())
        if iso and any(iso.groupdict().values()):
            return _build({unit: number for unit, number in iso.groupdict().items() if number})
    raise ValueError("expected a duration: seconds, 15m, 26h, 7d or ISO 8601 such as PT5M")


def _build(parts: dict[str, str]) -> timedelta:
    try:
        return timedelta(**{unit: float(number) for unit, number in parts.items()})
    except OverflowError:
        raise ValueError("the duration is too long") from None
