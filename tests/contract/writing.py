"""Rows as tests think of them, one at a time, and the batch that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain import EntityKey, Row, ViewSpec, to_microseconds
from app.pushing.batch import RowBatch


@dataclass(frozen=True)
class WriteRow:
    """One row; a feature that it does not name is null. Times are aware."""

    key: EntityKey
    values: Row
    event_timestamp: datetime
    created_timestamp: datetime | None


def batch_of(view: ViewSpec, rows: Sequence[WriteRow]) -> RowBatch:
    """The rows as a batch with the view's columns."""
    keys = {
        field.name: [row.key.values[row.key.join_keys.index(field.name)] for row in rows] for field in view.join_keys
    }
    return RowBatch(
        {**keys, **{field.name: [row.values.get(field.name) for row in rows] for field in view.features}},
        [to_microseconds(row.event_timestamp) for row in rows],
        [None if row.created_timestamp is None else to_microseconds(row.created_timestamp) for row in rows],
    )
