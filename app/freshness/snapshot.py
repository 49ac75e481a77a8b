"""The snapshot: what one probe has found of all views, for every process of the deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from app.freshness.finding import Finding


@dataclass(frozen=True, slots=True)
class FreshnessSnapshot:
    """When (UTC) and how long the probe has looked, how often one does, and what it has found by view."""

    taken_at: datetime
    interval: timedelta
    took: timedelta
    views: Mapping[str, Finding] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it; times are RFC 3339, durations ISO 8601."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> FreshnessSnapshot:
        """The snapshot that `to_json` gave. Raises ValueError for one that another version of this program wrote in
        another form; a field that is new to this one is passed over."""
        try:
            return msgspec.convert(body, cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"the freshness snapshot has another form: {error}") from None
