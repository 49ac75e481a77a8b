"""Rows on their way into the stores, in columns: what the check of a push makes, and what both stores take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Valid rows of one push source: all sequences have one entry per row, in the order in which they came.

    `columns` are native values (app.values) by column: the join keys and features of every view that the source feeds,
    None for null. `event` and `created` are timestamps in microseconds since 1970 (UTC); no two rows that Freshet
    stamped itself share a created one (rule 1). A created one is None where nobody knows it: in rows that are
    materialized from a source without that column, never in those of a push.
    """

    columns: Mapping[str, Sequence[Any]]
    event: Sequence[int]
    created: Sequence[int | None]

    def __len__(self) -> int:
        return len(self.event)

    def take(self, positions: Sequence[int]) -> RowBatch:
        """The rows at these positions, in this order."""
        return RowBatch(
            {name: [values[position] for position in positions] for name, values in self.columns.items()},
            [self.event[position] for position in positions],
            [self.created[position] for position in positions],
        )

    @classmethod
    def joined(cls, batches: Sequence[RowBatch]) -> RowBatch:
        """All rows of batches that have the same columns, of which there is at least one, in order."""
        if len(batches) == 1:
            return batches[0]
        return cls(
            {name: list(chain.from_iterable(batch.columns[name] for batch in batches)) for name in batches[0].columns},
            list(chain.from_iterable(batch.event for batch in batches)),
            list(chain.from_iterable(batch.created for batch in batches)),
        )
