"""The probe: one look at the online data of all views."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from app.domain import ViewSpec
from app.freshness.finding import observe
from app.freshness.ports import OnlineSampler
from app.freshness.snapshot import FreshnessSnapshot
from app.sla import sla_of

log = structlog.get_logger(__name__)


class Probe:
    """Looks into the online store, whoever wrote it. Its cost is bounded by `entities` per view."""

    def __init__(
        self,
        online: OnlineSampler,
        watermarks: Callable[[], Mapping[str, datetime]],
        entities: int,
        interval: timedelta,
        skew: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        """`watermarks` gives the moments up to which push sources are declared complete; `interval` is how often one
        looks; `skew` how far ahead of the clock an event may lie and still count."""
        self._online = online
        self._watermarks = watermarks
        self._entities = entities
        self._interval = interval
        self._skew = skew
        self._clock = clock
        self._told: set[tuple[str, str]] = set()

    def look(self, views: Sequence[ViewSpec], before: FreshnessSnapshot | None) -> FreshnessSnapshot:
        """What is there now; `before` is the last snapshot. Blocks; raises StoreUnavailableError.

        All views in one question: a store that keeps several views of an entity together is gone through once.
        """
        began = time.monotonic()
        declared = self._watermarks()
        samples = self._online.sample(views, self._entities)
        # After the sample: a mark that is as old as its rows may be met without them, never the other way round.
        marks = self._online.marks(views)
        now = self._clock()
        known = {} if before is None else before.views
        found = {
            view.name: observe(
                samples.get(view.name),
                marks.get(view.name),
                declared.get(view.push_source) if view.push_source else None,
                self._sla(view),
                known.get(view.name),
                now,
                self._skew,
            )
            for view in views
        }
        return FreshnessSnapshot(now, self._interval, timedelta(seconds=time.monotonic() - began), found)

    def _sla(self, view: ViewSpec) -> timedelta | None:
        promised = sla_of(view.tags)
        if promised.fault is not None and (view.name, promised.fault) not in self._told:
            self._told.add((view.name, promised.fault))
            log.warning("tags of a view are without effect", feature_view=view.name, reason=promised.fault)
        return promised.sla
