"""Freshet's export: from the file of a spine to the file of a result."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from app.domain import to_moment
from app.exports.engine import open_engine
from app.exports.features import ResultColumns
from app.exports.point_in_time import point_in_time
from app.exports.sql import quoted, text
from app.planning.select import select_service
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.history import FeastHistory
from app.stores.repo import open_repo
from benchmarks.exporting.dataset import SERVICE
from benchmarks.exporting.exporter import Export

_ROWS_PER_BATCH = 50_000


class FileSpine:
    """Implements app.exports.ports.Spine over a Parquet file, which is read once for the join and once beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pq.ParquetFile(path) as file:
            self.rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow
        self.bounds = self._bounds()

    def _bounds(self) -> tuple[datetime, datetime] | None:
        query = "SELECT epoch_us(min(event_timestamp)), epoch_us(max(event_timestamp)) FROM read_parquet(?)"
        with duckdb.connect() as engine:
            ((first, last),) = engine.execute(query, [str(self._path)]).fetchall()
        return None if first is None else (to_moment(first), to_moment(last))

    def attach(self, engine: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str]) -> None:
        """See app.exports.ports.Spine."""
        shown = ", ".join(f"{quoted(column)} AS s{number}" for number, column in enumerate(columns))
        engine.execute(
            f"CREATE TEMP VIEW {name} AS SELECT file_row_number AS r, event_timestamp AS t, {shown}"
            f" FROM read_parquet({text(str(self._path))}, file_row_number = true)"
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows with all columns, in order."""
        # With pre_buffer, Arrow's default, all that was read of the file stays in memory until the end.
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            yield from file.iter_batches(_ROWS_PER_BATCH)


@contextlib.contextmanager
def opened(repo: Path) -> Iterator[Export]:
    """The export of every feature of the service, as a worker with this repo open does it."""
    settings = Settings(feature_repo=repo)
    opened_repo = open_repo(settings)
    try:
        snapshot = RegistryReader(opened_repo).read()
        history = FeastHistory(opened_repo.store.config, lambda: snapshot.feast_views)
        selection = select_service(snapshot.catalog, snapshot.catalog.services[SERVICE], lambda _: None)

        def export(spine: Path, target: Path) -> None:
            given = FileSpine(spine)
            types = [history.types(planned) for planned in selection.views]
            columns = ResultColumns(selection, given.schema, types, history.type_of)
            with (
                tempfile.TemporaryDirectory() as spill,
                open_engine(settings.export_memory, Path(spill)) as engine,
                pq.ParquetWriter(target, columns.schema, compression="zstd") as writer,
            ):
                for batch in columns.batches(point_in_time(engine, selection, given, history)):
                    writer.write_batch(batch.rows)

        yield export
    finally:
        opened_repo.close()
