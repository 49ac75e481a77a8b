"""Every Prometheus metric that Freshet exports, with its labels and buckets.

Counters and histograms are mmapped files in PROMETHEUS_MULTIPROC_DIR, shared by all workers of one server. `import
feast` would point that variable at a directory of its own, so whoever starts a process calls
app.startup.prepare_metrics before any other import. Gauges never go through those files: a kill -9 leaves them stuck.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from app.hot_metrics import HotCounter, HotHistogram
from app.snapshot_metrics import SnapshotCounter, SnapshotGauge, SnapshotHistogram

# prometheus_client registers with a global registry unless told not to; ours is put together in `exposition`.
_OWN = CollectorRegistry()

HTTP_REQUEST_DURATION = Histogram(
    "freshet_http_request_duration_seconds",
    "Time to answer an HTTP request, by route template.",
    ["route", "method", "status"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=_OWN,
)
ONLINE_READ_DURATION = Histogram(
    "freshet_online_read_duration_seconds",
    "Time to read the online store, compute on-demand features and, for many entities, encode values for one request, "
    "also a failed one.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=_OWN,
)
SERVED_VALUES = Counter(
    "freshet_served_values_total",
    "Values served, by feature view and status.",
    ["feature_view", "status"],
    registry=_OWN,
)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
SERVED_AGE = Histogram(
    "freshet_served_age_seconds",
    "Age of the rows that answers were made of, when they were read, by feature view.",
    ["feature_view"],
    # The ages that SLAs are made of are among them: 5 min, 75 min, 26 h.
    buckets=(
        1, 5, 15, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 75 * _MINUTE, 6 * _HOUR, 12 * _HOUR, _DAY, 26 * _HOUR,
        2 * _DAY, 7 * _DAY, 30 * _DAY,
    ),
    registry=_OWN,
)  # fmt: skip
SERVED_STALE = Counter(
    "freshet_served_stale_total",
    "Rows that answers were made of although they were older than the SLA of their feature view.",
    ["feature_view"],
    registry=_OWN,
)
PUSH_ROWS = Counter(
    "freshet_push_rows_total", "Pushed rows, by push source and outcome.", ["push_source", "outcome"], registry=_OWN
)
PUSH_REPAIR_ROWS = Counter(
    "freshet_push_repair_rows_total",
    "Rows that a repair brought from the offline to the online store, once per feature view, by push source.",
    ["push_source"],
    registry=_OWN,
)
PUSH_REPAIR_FAILURES = Counter(
    "freshet_push_repair_failures_total",
    "Repairs that failed and are tried again, by push source.",
    ["push_source"],
    registry=_OWN,
)
MATERIALIZATION_ROWS = Counter(
    "freshet_materialization_rows_total",
    "Rows read for materialization, by feature view.",
    ["feature_view"],
    registry=_OWN,
)
REGISTRY_REFRESH_FAILURES = Counter(
    "freshet_registry_refresh_failures_total", "Looks at the Feast registry that failed.", registry=_OWN
)


_SERVED: dict[tuple[str, str], HotCounter] = {}
_SERVED_AGE: dict[str, HotHistogram] = {}
_SERVED_STALE: dict[str, HotCounter] = {}


def served(view: str, status: str) -> HotCounter:
    """The counter of values of a view served with a status: always the same one, so that no plan takes counts along."""
    counter = _SERVED.get((view, status))
    if counter is None:
        counter = _SERVED.setdefault((view, status), HotCounter(SERVED_VALUES.labels(view, status)))
    return counter


def served_stale(view: str) -> HotCounter:
    """The counter of rows of a view that were served older than its SLA, always the same one as well."""
    counter = _SERVED_STALE.get(view)
    if counter is None:
        counter = _SERVED_STALE.setdefault(view, HotCounter(SERVED_STALE.labels(view)))
    return counter


def served_age(view: str) -> HotHistogram:
    """The histogram of the ages of rows of a view that were served, always the same one as well."""
    histogram = _SERVED_AGE.get(view)
    if histogram is None:
        histogram = _SERVED_AGE.setdefault(view, HotHistogram(SERVED_AGE.labels(view)))
    return histogram


PUSH_REPAIRS_OWED = SnapshotGauge(
    "freshet_push_repairs_owed", "Push sources with rows that are kept offline and not yet online, over all servers."
)
JOBS = SnapshotGauge("freshet_jobs", "Background jobs that are remembered, by kind and state.", ["kind", "state"])
JOBS_ENDED = SnapshotCounter(
    "freshet_jobs_ended_total", "Background jobs that have ended, ever.", ["project", "kind", "state"]
)
RUNS_ENDED = SnapshotCounter(
    "freshet_runs_ended_total",
    "Computations and materializations of feature views that have ended, ever.",
    ["project", "kind", "feature_view", "state"],
)
EXPORT_ROWS = SnapshotCounter("freshet_export_rows_total", "Rows of all exports that have succeeded.")
EXPORT_DURATION = SnapshotHistogram(
    "freshet_export_duration_seconds", "Time from the beginning of an export's first attempt to its success."
)


def _of_view(name: str, documentation: str, *labels: str) -> SnapshotGauge:
    return SnapshotGauge(f"freshet_feature_view_{name}", documentation, ["project", "feature_view", *labels])


VIEW_NEWEST_EVENT = _of_view(
    "newest_event_timestamp_seconds", "The newest event timestamp of a view's online data that counts."
)
VIEW_WATERMARK = _of_view("watermark_timestamp_seconds", "Up to where a view's push source is declared complete.")
VIEW_LAST_WRITE = _of_view("last_write_timestamp_seconds", "When rows of a view were last written online by Freshet.")
VIEW_LAST_WRITE_ROWS = _of_view("last_write_rows", "How many rows that were.")
VIEW_STALENESS = _of_view("staleness_seconds", "How long ago a view's data end. Never alert on it: it dies with us.")
VIEW_SLA = _of_view("sla_seconds", "How old the data of a view may be, where it has an SLA.")
VIEW_WARN = _of_view("warn_seconds", "From which age on to warn, where a view has an SLA.")
VIEW_SLA_BREACHED = _of_view("sla_breached", "1 where the data of a view are older than its SLA or never came, else 0.")
VIEW_STATUS = _of_view("status", "1 for the status that a view has.", "status")
VIEW_ENTITY_AGE = _of_view(
    "entity_age_seconds", "Ages of sampled entities of a view at the time of the probe, by quantile.", "quantile"
)
VIEW_SAMPLED_ENTITIES = _of_view("sampled_entities", "Entities of a view that the probe has looked at.")
VIEW_BEYOND_SLA_RATIO = _of_view("beyond_sla_ratio", "The share of them that were older than the SLA.")
VIEW_FUTURE_ENTITIES = _of_view("future_entities", "Those of them that are further in the future than clocks differ.")
VIEW_INFO = _of_view("info", "1 for every view that is watched, with who answers for it.", "owner", "team")
FRESHNESS_PROBE_LAST_SUCCESS = SnapshotGauge(
    "freshet_freshness_probe_last_success_timestamp_seconds", "When the last freshness probe succeeded.", ["project"]
)
FRESHNESS_PROBE_INTERVAL = SnapshotGauge(
    "freshet_freshness_probe_interval_seconds", "How often a freshness probe should succeed.", ["project"]
)
FRESHNESS_PROBE_DURATION = SnapshotGauge(
    "freshet_freshness_probe_duration_seconds", "How long the last freshness probe took.", ["project"]
)


SKEW_CHECKED = SnapshotCounter(
    "freshet_skew_checked_total",
    "Entities whose served features were compared with the point-in-time join at the same instant, over all processes.",
    ["project", "feature_view"],
)
SKEW_MISMATCH = SnapshotCounter(
    "freshet_skew_mismatch_total", "Those of them that differed.", ["project", "feature_view"]
)
SKEW_LAST_CHECKED = SnapshotGauge(
    "freshet_skew_last_checked_timestamp_seconds", "When a view was last compared.", ["project", "feature_view"]
)
SKEW_PROBE_LAST_SUCCESS = SnapshotGauge(
    "freshet_skew_probe_last_success_timestamp_seconds",
    "When all views were last compared without a store that failed.",
    ["project"],
)
SKEW_PROBE_INTERVAL = SnapshotGauge(
    "freshet_skew_probe_interval_seconds", "Time between two such comparisons, as configured.", ["project"]
)


SNAPSHOT_METRICS: tuple[SnapshotGauge | SnapshotHistogram, ...] = (
    PUSH_REPAIRS_OWED,
    JOBS,
    JOBS_ENDED,
    RUNS_ENDED,
    EXPORT_ROWS,
    EXPORT_DURATION,
    VIEW_NEWEST_EVENT,
    VIEW_WATERMARK,
    VIEW_LAST_WRITE,
    VIEW_LAST_WRITE_ROWS,
    VIEW_STALENESS,
    VIEW_SLA,
    VIEW_WARN,
    VIEW_SLA_BREACHED,
    VIEW_STATUS,
    VIEW_ENTITY_AGE,
    VIEW_SAMPLED_ENTITIES,
    VIEW_BEYOND_SLA_RATIO,
    VIEW_FUTURE_ENTITIES,
    VIEW_INFO,
    FRESHNESS_PROBE_LAST_SUCCESS,
    FRESHNESS_PROBE_INTERVAL,
    FRESHNESS_PROBE_DURATION,
    SKEW_CHECKED,
    SKEW_MISMATCH,
    SKEW_LAST_CHECKED,
    SKEW_PROBE_LAST_SUCCESS,
    SKEW_PROBE_INTERVAL,
)
"""What every process shows of the whole deployment."""


class _OwnMetrics:
    """The metrics of all processes in the directory that are ours; Feast keeps some of its own in there, too."""

    def collect(self) -> Iterable[Metric]:
        metrics = MultiProcessCollector(None, os.environ["PROMETHEUS_MULTIPROC_DIR"]).collect()  # type: ignore[no-untyped-call]
        return (metric for metric in metrics if metric.name.startswith("freshet_"))


def exposition() -> bytes:
    """All metrics of this server, of every worker, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_OwnMetrics())
    for metric in SNAPSHOT_METRICS:
        registry.register(metric)
    return generate_latest(registry)
