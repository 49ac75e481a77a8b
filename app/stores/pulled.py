"""What Feast asks for when it pulls rows out of an offline store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from feast import RepoConfig
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL


@dataclass(frozen=True)
class Pull:
    """Columns of a source, in its own names, and which rows: start <= event timestamp <= end where these are given, and
    with `newest` only one row per entity. Without features all columns are meant."""

    config: RepoConfig
    source: DataSource
    keys: Sequence[str]
    features: Sequence[str]
    timestamp: str
    created: str | None
    start: datetime | None
    end: datetime | None
    newest: bool

    @property
    def times(self) -> list[str]:
        """The columns of times: of the event, and of the creation where there is such a column."""
        return [self.timestamp, *([self.created] if self.created else [])]

    def columns(self, present: Sequence[str]) -> list[str]:
        """The columns that are asked for; `present` are those of the source."""
        wanted = [*self.keys, *self.features, *self.times]
        return list(dict.fromkeys([*wanted, *(() if self.features or self.newest else present)]))

    @property
    def bounds(self) -> list[tuple[str, datetime]]:
        """The comparisons that the event timestamp has to pass."""
        found = [(">=", self.start), ("<=", self.end)]
        return [(sign, moment.astimezone(UTC)) for sign, moment in found if moment is not None]


def for_feast(pull: Pull, table: pa.Table) -> pa.Table:
    """The rows as Feast's own code wants them: of views without entities under the key that it makes up for them,
    which it asks no store for, and then misses."""
    if pull.keys or pull.newest or not pull.features:
        return table
    return table.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * table.num_rows, pa.string()))
