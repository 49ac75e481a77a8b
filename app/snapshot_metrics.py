"""Kinds of metrics that are the same in every process of a deployment, as each has the same snapshot in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString


class SnapshotGauge:
    """A gauge over the whole deployment, of which every process has the same snapshot in memory: whichever worker is
    scraped, it shows it, and there is no file that could outlive a killed one. Without a snapshot it is left out."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._documentation = documentation
        self.labels = tuple(labels)
        self._values: Mapping[tuple[str, ...], float] = {}

    def set(self, value: float | None) -> None:
        """Show this from now on; None: nothing is known. For a gauge without labels."""
        self._values = {} if value is None else {(): value}

    def set_all(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these from now on, by the values of the labels, and no others."""
        self._values = dict(values)

    def describe(self) -> Iterable[Metric]:
        """The metric without its values."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """The metric as it is now."""
        values = self._values
        if not values:
            return []
        family = self._family()
        for labels, value in sorted(values.items()):
            family.add_metric(labels, value)
        return [family]

    def _family(self) -> GaugeMetricFamily | CounterMetricFamily:
        return GaugeMetricFamily(self._name, self._documentation, labels=self.labels)


class SnapshotCounter(SnapshotGauge):
    """The same for what only grows, and is remembered beyond the life of any process."""

    def _family(self) -> GaugeMetricFamily | CounterMetricFamily:
        return CounterMetricFamily(self._name, self._documentation, labels=self.labels)


class SnapshotHistogram:
    """The same for a histogram without labels."""

    labels: tuple[str, ...] = ()

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._buckets: list[tuple[str, float]] = []
        self._sum = 0.0

    def show(self, bounds: Sequence[float], counts: Sequence[int] | None, total: float) -> None:
        """Show these from now on: how many values there are up to each bound and beyond the one before, how many beyond
        the last, and their sum; None: nothing is known."""
        names = [*map(floatToGoString, bounds), "+Inf"]
        sums = [] if counts is None else list(itertools.accumulate(counts))
        self._buckets, self._sum = list(zip(names, sums, strict=bool(sums))), total

    def describe(self) -> Iterable[Metric]:
        """The metric without its values."""
        return [HistogramMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        """The metric as it is now."""
        buckets = self._buckets
        return [HistogramMetricFamily(self._name, self._documentation, buckets, self._sum)] if buckets else []
