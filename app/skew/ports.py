"""What the probe needs of the stores, beside the ports of app.freshness, app.serving and app.exports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from app.domain import EntityKey, ViewSpec


class OfflineSampler(Protocol):
    """An offline store that names some of its entities. Blocks; raises StoreUnavailableError."""

    def sample(self, view: ViewSpec, since: datetime | None, until: datetime, entities: int) -> Sequence[EntityKey]:
        """At most so many entities with a row of the view between these event timestamps (UTC, both included), as good
        as at random; none of a store that could say so only by reading all it has."""


class Materialized(Protocol):
    """What materializations have promised to be online. Blocks; raises StoreUnavailableError."""

    def covers(self, view: ViewSpec, rows: Sequence[tuple[datetime, datetime | None]]) -> Sequence[bool]:
        """For each row, by its event and created timestamps (UTC), whether a materialization that has succeeded must
        have seen it: the row was in its window, and in the offline store before it began."""
