"""A spine that is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from app.domain import to_moment
from app.exports.spine_needs import EVENT_TIMESTAMP

_ROWS_PER_BATCH = 50_000


class TableSpine:
    """Implements app.exports.ports.Spine over a table with a column `event_timestamp` of UTC microseconds."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def rows(self) -> int:
        """How many."""
        return int(self._table.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """All columns, in the caller's order."""
        return self._table.schema

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """The earliest and the latest event timestamp; None where there are no rows."""
        if self.rows == 0:
            return None
        found = pc.min_max(self._table[EVENT_TIMESTAMP].cast(pa.int64()))
        return to_moment(found["min"].as_py()), to_moment(found["max"].as_py())

    def attach(self, engine: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str]) -> None:
        """See app.exports.ports.Spine."""
        shown = pa.table(
            [
                pa.array(range(self.rows), pa.int64()),
                self._table[EVENT_TIMESTAMP],
                *(self._table[column] for column in columns),
            ],
            ["r", "t", *(f"s{number}" for number in range(len(columns)))],
        )
        engine.register(name, shown)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows with all columns, in order."""
        yield from self._table.to_batches(max_chunksize=_ROWS_PER_BATCH)
