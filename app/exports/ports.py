"""What a point-in-time join needs of its surroundings: the rows of a view, and a spine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import duckdb
import pyarrow as pa

from app.domain import FieldSpec
from app.planning.selection import PlannedView


@dataclass(frozen=True)
class Scope:
    """Which rows of a view may matter to a join; a store may give more of them.

    `earliest` and `latest` are event timestamps (UTC), both included; without an earliest: from the beginning on. Of
    older rows it only matters that there are some: for each key one of them is enough, without its features and with
    the earliest times at which any of them happened and was known. Rows created after `created_until` do not count.
    `keys` are the join keys that are asked for, one row each, in columns k0, k1... in the order of the view's join
    keys; None where they are too many to be told. `asked` is a query for the keys with their times t, all of them, one
    row each; None where there is no spine and every entity matters. With `known_at` only what was known at the time
    matters.
    """

    earliest: datetime | None
    latest: datetime
    created_until: datetime | None = None
    keys: pa.Table | None = None
    asked: str | None = None
    known_at: bool = False


class OfflineHistory(Protocol):
    """An offline store as exports see it."""

    def attach(
        self, engine: duckdb.DuckDBPyConnection, name: str, planned: PlannedView, scope: Scope
    ) -> AbstractContextManager[None]:
        """Make `name` a relation of the engine for the with block: the rows of the view.

        Columns: k0, k1... the join keys, in the types of the view; t and c, the event and the created timestamp as
        TIMESTAMPTZ, c null where there is none; f0, f1... all features of the view, as they are stored. Raises
        StoreUnavailableError, ConfigurationError where the source has not what the view says, and NotServableError
        where the store cannot find what is asked for.
        """

    def types(self, planned: PlannedView) -> Sequence[pa.DataType]:
        """The Arrow types of the features that are read. Raises ConfigurationError where one cannot be exported."""

    def type_of(self, field: FieldSpec) -> pa.DataType:
        """The Arrow type of an on-demand feature. Raises ConfigurationError as well."""


class Spine(Protocol):
    """The rows to which features are joined: column `event_timestamp` (UTC microseconds, never null), the join keys in
    their types, and whatever else the caller wants to keep."""

    @property
    def rows(self) -> int:
        """How many."""

    @property
    def schema(self) -> pa.Schema:
        """All columns, in the caller's order."""

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """The earliest and the latest event timestamp; None where there are no rows."""

    def attach(self, engine: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str]) -> None:
        """Make `name` a relation of the engine: r, the number of the row from 0 on; t, its event timestamp; and s0,
        s1..., these columns."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows with all columns, in order."""
