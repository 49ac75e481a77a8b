"""The file of a spine: Parquet that is there once it is complete, and that says what is in it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.domain import to_moment
from app.exports.plain_types import worth_a_dictionary
from app.exports.spine_columns import SpineColumns
from app.exports.spine_digest import SpineDigest
from app.exports.spine_faults import SpineFaults
from app.exports.spine_needs import EVENT_TIMESTAMP, SpineNeeds

ROWS_AT_ONCE = 65_536
_GROUP_ROWS, _GROUP_BYTES = 122_880, 64 * 2**20
"""A row group is written when it has either: so many rows are what DuckDB gives to one thread."""
_ABOUT = b"freshet.spine"


@dataclass(frozen=True)
class SpineFile:
    """A spine as the join reads it.

    `schema` has all columns in the caller's order: `event_timestamp` is timestamp[us, UTC] and never null, join keys
    and request fields have their declared types, all others are as they came; DuckDB reads some of these as wider ones,
    such as a dictionary as its values and a duration as an integer. `sha256` is of the content (app.exports.
    spine_digest). `earliest` and `latest` are the first and the last event timestamp in UTC, None without rows.
    """

    path: Path
    rows: int
    schema: pa.Schema
    sha256: str
    earliest: datetime | None
    latest: datetime | None

    @classmethod
    def read(cls, path: Path) -> SpineFile:
        """The spine in a file that was written here before. Raises OSError or ValueError for any other file."""
        with pq.ParquetFile(path) as file:
            about = (file.metadata.metadata or {}).get(_ABOUT)
            if about is None:
                raise ValueError(f"{path.name} is no spine")
            said = json.loads(about)
            bounds = [None if micros is None else to_moment(micros) for micros in (said["earliest"], said["latest"])]
            schema = file.schema_arrow.remove_metadata()
            return cls(path, file.metadata.num_rows, schema, said["sha256"], bounds[0], bounds[1])


class _Writer:
    """Writes batches of one schema into a file, a row group at a time."""

    def __init__(self, place: Path, schema: pa.Schema) -> None:
        self._parquet = pq.ParquetWriter(place, schema, compression="zstd", use_dictionary=worth_a_dictionary(schema))
        self._digest = SpineDigest(schema)
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._bounds: list[int] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, which have a time each."""
        if batch.num_rows == 0:
            return
        self._digest.update(batch)
        bounds = pc.min_max(batch.column(EVENT_TIMESTAMP).cast(pa.int64())).as_py()
        self._bounds = [min([bounds["min"], *self._bounds]), max([bounds["max"], *self._bounds])]
        self._waiting.append(batch)
        waiting = self._waiting
        if sum(map(len, waiting)) >= _GROUP_ROWS or sum(part.nbytes for part in waiting) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._parquet.write_table(pa.Table.from_batches(self._waiting, self._schema))
            self._waiting = []

    def finish(self) -> None:
        """Write what is left, and what is to be known of it all."""
        self._flush()
        earliest, latest = self._bounds or (None, None)
        about = {"sha256": self._digest.hexdigest(), "earliest": earliest, "latest": latest}
        self._parquet.add_key_value_metadata({_ABOUT.decode(): json.dumps(about)})
        self._parquet.close()

    def close(self) -> None:
        """Let go of the file, whatever is in it."""
        with suppress(pa.ArrowException, OSError):
            self._parquet.close()


def write_spine(
    target: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], check: Callable[[], None] = lambda: None
) -> SpineFile:
    """Write batches of that schema into `target`, and say what is there then: it appears, on disk, when all of it is
    written and `check` has not raised. Else there is no file, and whatever stopped it is raised."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        writer = _Writer(temporary, schema)
        try:
            for batch in batches:
                writer.write(batch)
            check()
            writer.finish()
        finally:
            writer.close()
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return SpineFile.read(target)


def normalised(
    found: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    needs: SpineNeeds,
    target: Path,
    faults: SpineFaults,
    written: bool = False,
) -> SpineFile:
    """Write the spine that rows of a source make; `faults` are those already known. Raises InvalidRequestError with
    all that is wrong."""
    columns = SpineColumns(found, needs, faults, written, timed=True)
    faults.raise_any()
    good = (batch for batch in converted(batches, columns, needs, faults) if not faults)
    return write_spine(target, columns.schema, good, faults.raise_any)


def converted(
    batches: Iterable[pa.RecordBatch], columns: SpineColumns, needs: SpineNeeds, faults: SpineFaults
) -> Iterable[pa.RecordBatch]:
    """The batches, each of no more than ROWS_AT_ONCE rows, as `columns` say. Raises InvalidRequestError for too many
    rows."""
    rows = 0
    for whole in batches:
        needs.check_rows(rows + whole.num_rows, at_least=True)
        for start in range(0, whole.num_rows, ROWS_AT_ONCE):
            yield columns.convert(whole.slice(start, ROWS_AT_ONCE), rows + start, faults)
        rows += whole.num_rows
