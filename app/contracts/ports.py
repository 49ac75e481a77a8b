"""What contracts need of the metadata database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

ANONYMOUS = "anonymous"
"""The consumer of requests that name none. They count: somebody is there who cannot be told."""


@dataclass(frozen=True, slots=True)
class Reads:
    """How often one consumer has read one feature service, or one feature by its reference; never both. UTC."""

    consumer: str
    feature_service: str | None
    feature: str | None
    """`view:feature` or `view@vN:feature`, where the request listed features instead of naming a service."""
    first_seen: datetime
    last_seen: datetime
    count: int


class ReadRecords(Protocol):
    """Who has read what, over all servers of a project. Blocks; raises StoreUnavailableError."""

    def add(self, reads: Sequence[Reads]) -> None:
        """Add these to what is known: counts add up, the first moment is kept and the last one moves on."""

    def since(self, moment: datetime | None = None) -> list[Reads]:
        """All that was last seen at `moment` or later, or ever, by consumer and name."""


@dataclass(frozen=True, slots=True)
class Application:
    """One `freshet apply`: what was applied, by whom, when (UTC), under which plan."""

    number: int
    state: str
    """applying, applied or failed. One that stays `applying` while nobody holds the lock was killed."""
    began_at: datetime
    ended_at: datetime | None
    applied_by: str
    definitions_hash: str
    """SHA-256, in hex, of the canonical JSON of `definitions`."""
    definitions: dict[str, Any]
    """app.contracts.recorded.to_json of the catalog that the repo declares."""
    plan: dict[str, Any]
    """The JSON of the plan under which it was applied."""


class Applications(Protocol):
    """What has been applied to the registry of a project. Blocks; raises StoreUnavailableError."""

    def alone(self, patience: float) -> AbstractContextManager[None]:
        """Hold the right to apply while inside; one process at a time has it, and a killed one has it no longer. Raises
        ApplyRunningError where another still has it after `patience` seconds."""

    def begin(self, applied_by: str, definitions: dict[str, Any], plan: dict[str, Any]) -> int:
        """Record that an apply has begun; returns its number, which rises."""

    def end(self, number: int, applied: bool) -> None:
        """Record how it ended."""

    def last(self, limit: int = 20) -> list[Application]:
        """The newest ones first."""
