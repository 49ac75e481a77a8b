"""How fresh a view is: what was found of its data, held against its SLA and the clock."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain import ViewSpec
from app.freshness.finding import Finding
from app.sla import Sla, sla_of


class FreshnessStatus(enum.StrEnum):
    """What is to be said of a view's data, the worst first."""

    STALE = "stale"
    """Older than its SLA."""
    NEVER = "never"
    """There is an SLA, and no data at all. Not even a watermark makes up for that: who reads, reads nothing."""
    UNKNOWN = "unknown"
    """There is an SLA, and nobody can tell: no probe has looked yet, or nobody names entities to ask it about."""
    WARN = "warn"
    """Within its SLA, but no younger than freshness_warn."""
    FRESH = "fresh"
    UNMONITORED = "unmonitored"
    """There is no SLA."""


_RANKS = {status: rank for rank, status in enumerate(FreshnessStatus)}


@dataclass(frozen=True, slots=True)
class ViewFreshness:
    """A view at one moment. `staleness` is how long ago its data end: None where it has none that count."""

    view: ViewSpec
    sla: Sla
    found: Finding
    status: FreshnessStatus
    staleness: timedelta | None
    probed_at: datetime | None
    """When the probe has looked at it (UTC); None: not yet."""

    @property
    def breached(self) -> bool:
        """Whether it breaks its SLA now."""
        return self.status in (FreshnessStatus.STALE, FreshnessStatus.NEVER)

    @property
    def badness(self) -> tuple[int, float, str]:
        """A key that sorts the worst first: by status, then by age as a share of the SLA, then by name."""
        age = timedelta(0) if self.staleness is None else self.staleness
        share = 0.0 if self.sla.sla is None else age / self.sla.sla
        return _RANKS[self.status], -share, self.view.name


def judge(view: ViewSpec, found: Finding | None, probed_at: datetime | None, now: datetime) -> ViewFreshness:
    """How fresh a view is at `now`, by its tags and by what was found; None: nobody has looked yet."""
    sla = sla_of(view.tags)
    found = Finding() if found is None else found
    reference = found.reference
    # Another machine's clock may be ahead of ours.
    staleness = None if reference is None else max(now - reference, timedelta(0))
    return ViewFreshness(view, sla, found, _status(sla, found, staleness), staleness, probed_at)


def _status(sla: Sla, found: Finding, staleness: timedelta | None) -> FreshnessStatus:
    if sla.sla is None or sla.warn is None:
        return FreshnessStatus.UNMONITORED
    if found.has_rows is None:
        return FreshnessStatus.UNKNOWN
    if not found.has_rows:
        return FreshnessStatus.NEVER
    # Rows of the future alone are no data yet: nothing that a reader may rely on holds now.
    if staleness is None or staleness > sla.sla:
        return FreshnessStatus.STALE
    return FreshnessStatus.WARN if staleness >= sla.warn else FreshnessStatus.FRESH
