"""What is known of a feature over all rows of a result: counted as the rows pass, a few vector operations per batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from app.domain import ValueStatus
from app.exports.join import HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE

Statuses: TypeAlias = "pa.Array | Sequence[ValueStatus]"
"""Of one feature over one batch: int8 of the codes of app.exports.join, one array for all features of a view; or,
where each value has a status of its own, as in on-demand views, the statuses themselves."""


@dataclass(frozen=True)
class FeatureStatistics:
    """One feature: how many of its values had which status. The four counts together are the rows."""

    feature: str
    """As the result calls its column."""
    rows: int
    nulls: int
    """Values that are null, for whatever reason."""
    statuses: Mapping[ValueStatus, int]
    """Every status, those that no value has included."""

    def share(self, status: ValueStatus) -> float:
        """The part of the rows with that status, between 0 and 1; 0 where there are no rows."""
        return self.statuses[status] / self.rows if self.rows else 0.0


class StatisticsCollector:
    """Counts over the batches of one result."""

    def __init__(self, features: Sequence[str]) -> None:
        self._features = tuple(features)
        self._rows = 0
        self._nulls: Counter[str] = Counter()
        self._statuses: dict[str, Counter[ValueStatus]] = {name: Counter() for name in features}

    def add(self, batch: pa.RecordBatch, statuses: Mapping[str, Statuses]) -> None:
        """Count a batch, given the statuses of every feature. Raises ValueError where they contradict the values."""
        counted: dict[int, Counter[int]] = {}
        for name in self._features:
            column, given = batch.column(name), statuses[name]
            if len(given) != batch.num_rows:
                raise ValueError(f"{name} has {len(given)} statuses for {batch.num_rows} rows")
            if isinstance(given, pa.Array):
                codes = counted.setdefault(id(given), _codes(given))
                found = _of_view(codes, column, given)
            else:
                found = Counter(given)
            if found[ValueStatus.PRESENT] != batch.num_rows - column.null_count:
                raise ValueError(
                    f"{name} has values where its statuses say that there are none, or the other way round"
                )
            self._statuses[name].update(found)
            self._nulls[name] += column.null_count
        self._rows += batch.num_rows

    def result(self) -> tuple[FeatureStatistics, ...]:
        """The statistics of everything counted so far, in the order of the features."""
        return tuple(
            FeatureStatistics(
                name, self._rows, self._nulls[name], {status: self._statuses[name][status] for status in ValueStatus}
            )
            for name in self._features
        )


def _codes(given: pa.Array) -> Counter[int]:
    """How often each code is there: the same for all features of a view, and so counted once."""
    found = Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(given).to_pylist()})
    if not found.keys() <= {HOLDS, NOT_FOUND, OUTSIDE_MAX_AGE}:
        raise ValueError(f"a row has one of the statuses 0, 1 and 2, not any of {sorted(found, key=str)}")
    return found


def _of_view(codes: Counter[int], column: pa.Array, given: pa.Array) -> Counter[ValueStatus]:
    present = len(column) - column.null_count
    if codes[HOLDS] < len(column):
        present = pc.sum(pc.and_(column.is_valid(), pc.equal(given, HOLDS))).as_py()
    return Counter(
        {
            ValueStatus.PRESENT: present,
            ValueStatus.NULL_VALUE: codes[HOLDS] - present,
            ValueStatus.NOT_FOUND: codes[NOT_FOUND],
            ValueStatus.OUTSIDE_MAX_AGE: codes[OUTSIDE_MAX_AGE],
        }
    )
