"""Freshness as metrics. Filled in at every scrape from the board, so that they age, and that nothing is left of a view,
or of a process, that is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from app import metrics
from app.domain import Catalog
from app.freshness.board import FreshnessBoard, monitored
from app.freshness.view import ViewFreshness

TEAM_TAG = "team"

_PER_VIEW: Mapping[metrics.SnapshotGauge, Callable[[ViewFreshness], float | None]] = {
    metrics.VIEW_NEWEST_EVENT: lambda state: _seconds_of(state.found.newest),
    metrics.VIEW_WATERMARK: lambda state: _seconds_of(state.found.watermark),
    metrics.VIEW_LAST_WRITE: lambda state: _seconds_of(state.found.last_write),
    metrics.VIEW_LAST_WRITE_ROWS: lambda state: state.found.last_write_rows,
    metrics.VIEW_STALENESS: lambda state: _length_of(state.staleness),
    metrics.VIEW_SLA: lambda state: _length_of(state.sla.sla),
    metrics.VIEW_WARN: lambda state: _length_of(state.sla.warn),
    metrics.VIEW_SLA_BREACHED: lambda state: float(state.breached),
    metrics.VIEW_SAMPLED_ENTITIES: lambda state: state.found.sampled,
    metrics.VIEW_BEYOND_SLA_RATIO: lambda state: beyond_sla_ratio(state),
    metrics.VIEW_FUTURE_ENTITIES: lambda state: None if state.found.sampled is None else state.found.future,
}
"""What a gauge says of a view; None: nothing."""


def beyond_sla_ratio(state: ViewFreshness) -> float | None:
    """The share of the sampled entities that were older than the SLA at the time of the probe; None without any."""
    found = state.found
    return None if found.beyond_sla is None or not found.sampled else found.beyond_sla / found.sampled


def export(board: FreshnessBoard, catalog: Catalog | None) -> None:
    """Let the gauges show the board as it is now, for the views of this catalog; None: there is none yet."""
    states = [] if catalog is None else board.all(monitored(catalog))
    project = "" if catalog is None else catalog.project
    for gauge, value in _PER_VIEW.items():
        gauge.set_all(_known({(project, state.view.name): value(state) for state in states}))
    metrics.VIEW_STATUS.set_all({(project, state.view.name, state.status.value): 1.0 for state in states})
    metrics.VIEW_ENTITY_AGE.set_all(
        {
            (project, state.view.name, quantile): age
            for state in states
            if (ages := state.found.ages) is not None
            for quantile, age in (("0.5", ages.p50), ("0.95", ages.p95), ("1", ages.max))
        }
    )
    metrics.VIEW_INFO.set_all(
        {(project, state.view.name, state.view.owner, state.view.tags.get(TEAM_TAG, "")): 1.0 for state in states}
    )
    _export_probe(board, [] if catalog is None else [(project,)])


def _export_probe(board: FreshnessBoard, projects: Iterable[tuple[str, ...]]) -> None:
    snapshot = board.snapshot
    taken_at = None if snapshot is None else _seconds_of(snapshot.taken_at)
    took = None if snapshot is None else _length_of(snapshot.took)
    # Also before the first success: an alert for a probe that never succeeds needs to know how often it should.
    interval = _length_of(board.interval)
    for gauge, value in (
        (metrics.FRESHNESS_PROBE_LAST_SUCCESS, taken_at),
        (metrics.FRESHNESS_PROBE_DURATION, took),
        (metrics.FRESHNESS_PROBE_INTERVAL, interval),
    ):
        gauge.set_all(_known(dict.fromkeys(projects, value)))


def _known(values: Mapping[tuple[str, ...], float | None]) -> dict[tuple[str, ...], float]:
    return {labels: value for labels, value in values.items() if value is not None}


def _seconds_of(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _length_of(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
