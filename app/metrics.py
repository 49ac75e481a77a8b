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
    "Time to read the online store and compute on-demand features for one request.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=_OWN,
)
SERVED_VALUES = Counter(
    "freshet_served_values_total",
    "Values served, by feature view and status.",
    ["feature_view", "status"],
    registry=_OWN,
)
PUSH_ROWS = Counter(
    "freshet_push_rows_total", "Pushed rows, by push source and outcome.", ["push_source", "outcome"], registry=_OWN
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


class _OwnMetrics:
    """The metrics of all processes in the directory that are ours; Feast keeps some of its own in there, too."""

    def collect(self) -> Iterable[Metric]:
        metrics = MultiProcessCollector(None, os.environ["PROMETHEUS_MULTIPROC_DIR"]).collect()  # type: ignore[no-untyped-call]
        return (metric for metric in metrics if metric.name.startswith("freshet_"))


def exposition() -> bytes:
    """All metrics of this server, of every worker, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_OwnMetrics())
    return generate_latest(registry)
