"""Watermarks: up to where somebody has said that a push source is complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from app.errors import FieldError, InvalidRequestError
from app.values import format_timestamp


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to where a push source is complete, and when that was last moved on. In UTC."""

    moment: datetime
    updated_at: datetime


class Watermarks(Protocol):
    """Where watermarks are kept, shared by all servers of a project. Blocks; raises StoreUnavailableError."""

    def advance(self, push_source: str, watermark: datetime, now: datetime) -> datetime:
        """Move the watermark of a push source on, never back; where it is now."""

    def kept(self) -> Mapping[str, Watermark]:
        """The watermarks, by push source; those that nobody has told one for are left out."""


def accepted(watermark: datetime, now: datetime, skew: timedelta) -> datetime:
    """The watermark to keep: nothing is complete beyond now. Raises InvalidRequestError for one that lies further in
    the future than clocks differ (rule 5)."""
    if watermark > now + skew:
        message = f"future_timestamp: {format_timestamp(watermark)} is more than {skew} ahead of the server's clock"
        raise InvalidRequestError("The watermark lies in the future", [FieldError("watermark", message)])
    return min(watermark, now)
