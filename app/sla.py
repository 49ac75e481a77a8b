"""SLA tags of a feature view: how old its data may be, and from which age on to warn.

    freshness_sla   daily (26 h), hourly (75 min), realtime (5 min), a duration such as 15m, 26h or PT5M, or none
    freshness_warn  a duration; nine tenths of the SLA unless given

The named ones leave room for the run itself: a daily batch that begins at midnight may end at two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from app.durations import parse_duration

SLA_TAG = "freshness_sla"
WARN_TAG = "freshness_warn"
NAMED = {"daily": timedelta(hours=26), "hourly": timedelta(minutes=75), "realtime": timedelta(minutes=5)}

_PREFIX = "freshnes"
_WARN_SHARE = 0.9
_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(days=3660)
_ALLOWED = f"{', '.join(NAMED)}, a duration such as 15m, 26h or PT5M, or none"


@dataclass(frozen=True, slots=True)
class Sla:
    """What a view promises. `sla` None: nothing; then `warn` is None, too. `fault` says what is wrong with tags that
    were meant to promise something: without an SLA nobody knows what, with one the rest of them has no effect."""

    sla: timedelta | None = None
    warn: timedelta | None = None
    fault: str | None = None


class _TagError(ValueError):
    """A tag that says nothing sensible; the message names it."""


def sla_of(tags: Mapping[str, str]) -> Sla:
    """What the tags of a view promise. Never raises: a registry may hold tags that nobody has checked. What is right
    among them holds, for one that is misspelt must not end the watch over another."""
    fault = "; ".join(sla_faults(tags)) or None
    try:
        sla = _sla(tags)
    except _TagError:
        sla = None
    if sla is None:
        return Sla(fault=fault)
    try:
        return Sla(sla, _warn(tags, sla), fault)
    except _TagError:
        return Sla(sla, sla * _WARN_SHARE, fault)


def sla_faults(tags: Mapping[str, str]) -> list[str]:
    """What is wrong with the tags of a view, a sentence each: values that mean nothing, and names that are misspelt."""
    faults = [
        f"tag {name}: there is no such tag; known are {SLA_TAG} and {WARN_TAG}"
        for name in tags
        if name.lower().replace("-", "_").startswith(_PREFIX) and name not in (SLA_TAG, WARN_TAG)
    ]
    try:
        _warn(tags, _sla(tags))
    except _TagError as error:
        faults.append(str(error))
    return faults


def _sla(tags: Mapping[str, str]) -> timedelta | None:
    value = tags.get(SLA_TAG)
    if value is None or value == "none":
        return None
    return NAMED.get(value) or _duration(SLA_TAG, value, _ALLOWED)


def _warn(tags: Mapping[str, str], sla: timedelta | None) -> timedelta | None:
    value = tags.get(WARN_TAG)
    if value is None:
        return None if sla is None else sla * _WARN_SHARE
    if sla is None:
        raise _TagError(f"tag {WARN_TAG}: means nothing without {SLA_TAG}")
    warn = _duration(WARN_TAG, value, "a duration such as 15m, 26h or PT5M")
    if warn > sla:
        raise _TagError(f"tag {WARN_TAG}: {value} is longer than the SLA itself")
    return warn


def _duration(tag: str, value: str, allowed: str) -> timedelta:
    try:
        duration = parse_duration(value)
    except ValueError:
        raise _TagError(f"tag {tag}: {value!r} is not among {allowed}") from None
    if not _SHORTEST <= duration <= _LONGEST:
        raise _TagError(f"tag {tag}: {value} is not between one second and ten years")
    return duration
