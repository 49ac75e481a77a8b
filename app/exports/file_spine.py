"""A spine that is in a file, read as often as it takes and never held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from app.exports.spine_file import SpineFile
from app.exports.spine_needs import EVENT_TIMESTAMP
from app.exports.sql import quoted, text

_ROWS_PER_BATCH = 50_000


class FileSpine:
    """Implements app.exports.ports.Spine."""

    def __init__(self, file: SpineFile) -> None:
        self._file = file

    @property
    def rows(self) -> int:
        """How many."""
        return self._file.rows

    @property
    def schema(self) -> pa.Schema:
        """All columns, in the caller's order."""
        return self._file.schema

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """The earliest and the latest event timestamp; None where there are no rows."""
        earliest, latest = self._file.earliest, self._file.latest
        return None if earliest is None or latest is None else (earliest, latest)

    def attach(self, engine: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str]) -> None:
        """See app.exports.ports.Spine."""
        shown = ", ".join(f"{quoted(column)} AS s{number}" for number, column in enumerate(columns))
        engine.execute(
            f"CREATE TEMP VIEW {name} AS SELECT file_row_number AS r, {quoted(EVENT_TIMESTAMP)} AS t"  # noqa: S608
            f"{', ' if shown else ''}{shown} FROM read_parquet({text(str(self._file.path))}, file_row_number = true)"
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows with all columns, in order."""
        # With it Arrow keeps the whole file until the end.
        with pq.ParquetFile(self._file.path, pre_buffer=False) as file:
            yield from file.iter_batches(_ROWS_PER_BATCH)
