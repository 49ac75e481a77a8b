"""What every process shows of the whole deployment, in Prometheus' text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from app import metrics
from app.snapshot_metrics import SnapshotCounter, SnapshotGauge, SnapshotHistogram


def text(metric: SnapshotGauge | SnapshotHistogram) -> list[str]:
    registry = CollectorRegistry()
    registry.register(metric)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("# HELP")]


def test_a_counter_is_one_by_name_and_type() -> None:
    counter = SnapshotCounter("lab_things_total", "Things.", ["kind"])
    assert text(counter) == []
    counter.set_all({("a",): 3, ("b",): 1})
    assert text(counter) == [
        "# TYPE lab_things_total counter",
        'lab_things_total{kind="a"} 3.0',
        'lab_things_total{kind="b"} 1.0',
    ]
    counter.set_all({})
    assert text(counter) == []


def test_the_buckets_of_a_histogram_are_cumulative() -> None:
    histogram = SnapshotHistogram("lab_seconds", "Seconds.")
    assert text(histogram) == []
    histogram.show([0.5, 1], [2, 0, 3], 12.5)
    assert text(histogram) == [
        "# TYPE lab_seconds histogram",
        'lab_seconds_bucket{le="0.5"} 2.0',
        'lab_seconds_bucket{le="1.0"} 2.0',
        'lab_seconds_bucket{le="+Inf"} 5.0',
        "lab_seconds_count 5.0",
        "lab_seconds_sum 12.5",
    ]
    histogram.show([0.5, 1], None, 0)
    assert text(histogram) == []


def test_no_two_of_them_have_a_name_in_common() -> None:
    names = [metric.describe() for metric in metrics.SNAPSHOT_METRICS]
    assert len({family.name for (family,) in map(list, names)}) == len(names)
    assert metrics.exposition() is not None
