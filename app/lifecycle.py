"""Lifecycle tags of a feature view or a feature service: which version it is, and whether it is on its way out.

version           a whole number from 1 on, "2"; rises with every change that is not compatible
lifecycle         active (the default), deprecated or retired
deprecated_since  the day (UTC) from which on it was deprecated, 2026-11-01
sunset            the day (UTC) after which it may be gone, 2027-02-01
superseded_by     the name of what to read instead
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

VERSION_TAG = "version"
LIFECYCLE_TAG = "lifecycle"
SINCE_TAG = "deprecated_since"
SUNSET_TAG = "sunset"
SUCCESSOR_TAG = "superseded_by"


class Stage(enum.StrEnum):
    """Where in its life something is."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    """Served as ever, with word of what to read instead."""
    RETIRED = "retired"
    """No longer served: 410, with the name of its successor."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What the tags say. Days begin at midnight UTC."""

    stage: Stage = Stage.ACTIVE
    version: int | None = None
    deprecated_since: datetime | None = None
    sunset: datetime | None = None
    superseded_by: str | None = None


def lifecycle_of(tags: Mapping[str, str]) -> Lifecycle:
    """What the tags say. Never raises: a registry may hold tags that nobody has checked; one that means nothing counts
    as missing, and what is right beside it holds."""
    return Lifecycle(
        _stage(tags) or Stage.ACTIVE,
        _version(tags),
        _day(tags, SINCE_TAG),
        _day(tags, SUNSET_TAG),
        tags.get(SUCCESSOR_TAG) or None,
    )


def lifecycle_faults(tags: Mapping[str, str]) -> list[str]:
    """What is wrong with these tags, a sentence each. The version is none of them: other people's repos may mean
    something else by it."""
    stage = _stage(tags)
    if stage is None:
        return [f"tag {LIFECYCLE_TAG}: {tags[LIFECYCLE_TAG]!r} is not among {', '.join(Stage)}"]
    dependent = [name for name in (SINCE_TAG, SUNSET_TAG, SUCCESSOR_TAG) if name in tags]
    if stage is Stage.ACTIVE:
        return [f"tag {name}: means nothing without {LIFECYCLE_TAG} deprecated or retired" for name in dependent]
    since, sunset = _day(tags, SINCE_TAG), _day(tags, SUNSET_TAG)
    faults = [
        f"tag {name}: {tags[name]!r} is not a day such as 2027-02-01"
        for name, day in ((SINCE_TAG, since), (SUNSET_TAG, sunset))
        if name in tags and day is None
    ]
    if since and sunset and sunset < since:
        faults.append(f"tag {SUNSET_TAG}: {tags[SUNSET_TAG]} is before {SINCE_TAG}")
    return faults


def _stage(tags: Mapping[str, str]) -> Stage | None:
    value = tags.get(LIFECYCLE_TAG, Stage.ACTIVE)
    return Stage(value) if value in set(Stage) else None


def _version(tags: Mapping[str, str]) -> int | None:
    value = tags.get(VERSION_TAG, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0 else None


def _day(tags: Mapping[str, str], name: str) -> datetime | None:
    try:
        day = date.fromisoformat(tags.get(name, ""))
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
