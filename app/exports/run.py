"""One export from its spine to the published result and its manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from app.domain import Catalog, versioned
from app.exports.definition_hash import definition_hash, registry_hash
from app.exports.destination import Destination
from app.exports.engine import open_engine
from app.exports.engine_versions import engine_versions
from app.exports.features import ResultColumns
from app.exports.file_spine import FileSpine
from app.exports.formats import ExportFormat, result_writer
from app.exports.manifest import ColumnType, DataFile, Manifest, SpineOrigin, ViewDefinition, manifest_name
from app.exports.point_in_time import point_in_time
from app.exports.ports import OfflineHistory
from app.exports.spine_file import SpineFile
from app.exports.statistics import FeatureStatistics, StatisticsCollector
from app.planning.selection import Selection

Report = Callable[[str, int, int | None], None]
"""Told what an export is at: the phase, the rows done, and how many there are to do."""


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What is asked for. `cutoff` (UTC): rows created later do not count. `max_bytes` is the most that the result may
    have; `spill` a folder for what does not fit into `memory` bytes."""

    export_id: str
    selection: Selection
    catalog: Catalog
    spine: SpineFile
    origin: str
    """Where the spine came from: inline, uploaded, generated, or the path of a file."""
    format: ExportFormat
    cutoff: datetime
    known_at: bool = False
    full_feature_names: bool = False
    memory: int
    spill: Path
    max_bytes: int | None = None


@dataclass
class _Timings:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)


def run_export(
    order: ExportOrder,
    history: OfflineHistory,
    folder: Destination,
    name: str,
    clock: Callable[[], datetime],
    report: Report = lambda phase, done, total: None,
    interruptible: Callable[[duckdb.DuckDBPyConnection], AbstractContextManager[None]] = lambda engine: nullcontext(),
) -> Manifest:
    """Write the result into a folder under a name, and its manifest beside it. Neither is there before it is complete,
    nor the result where the manifest cannot be written.

    `interruptible` is given the engine for the time in which somebody may want to interrupt it. Raises
    InvalidRequestError where columns would have the same name or a type that the format does not hold,
    NotServableError where the function of an on-demand view fails, QuotaExceededError, StoreUnavailableError,
    ConfigurationError, and duckdb.InterruptException.
    """
    started, timings = clock(), _Timings()
    spine = FileSpine(order.spine)
    columns = ResultColumns(
        order.selection,
        spine.schema,
        [history.types(planned) for planned in order.selection.views],
        history.type_of,
        order.full_feature_names,
    )
    statistics = StatisticsCollector(columns.features)
    report("join", 0, spine.rows)
    with (
        timings.phase("total"),
        folder.child(name).writing(order.export_id, order.max_bytes) as file,
        open_engine(order.memory, order.spill) as engine,
        interruptible(engine),
        result_writer(order.format, columns.schema, file) as writer,
    ):
        joined = point_in_time(engine, order.selection, spine, history, order.known_at, order.cutoff)
        for batch in columns.batches(joined):
            writer.write(batch.rows)
            statistics.add(batch.rows, batch.statuses)
            report("write", writer.rows, spine.rows)
        written = writer.schema
    data = DataFile(name=name, sha256=file.sha256, bytes=file.bytes)
    manifest = _manifest(order, written, statistics.result(), data, timings.seconds, (started, clock()))
    try:
        with folder.child(manifest_name(name)).writing(order.export_id) as beside:
            beside.write(manifest.encode())
    except BaseException:
        with suppress(Exception):  # why there is no manifest is what somebody wants to know
            folder.child(name).remove()
        raise
    return manifest


def _manifest(
    order: ExportOrder,
    schema: pa.Schema,
    statistics: tuple[FeatureStatistics, ...],
    data: DataFile,
    timings: Mapping[str, float],
    times: tuple[datetime, datetime],
) -> Manifest:
    selection, spine = order.selection, order.spine
    return Manifest(
        export_id=order.export_id,
        project=order.catalog.project,
        feature_service=selection.name or None,
        features=tuple(output.reference for output in selection.outputs),
        views=tuple(_definitions(selection)),
        registry_hash=registry_hash(order.catalog),
        spine=SpineOrigin(sha256=spine.sha256, rows=spine.rows, columns=tuple(spine.schema.names), origin=order.origin),
        cutoff=order.cutoff,
        known_at=order.known_at,
        format=order.format,
        full_feature_names=order.full_feature_names,
        rows=spine.rows,
        schema=tuple(ColumnType(name=entry.name, dtype=str(entry.type)) for entry in schema),
        statistics=statistics,
        data=data,
        engines=engine_versions(),
        timings=timings,
        started_at=times[0],
        finished_at=times[1],
    )


def _definitions(selection: Selection) -> Iterator[ViewDefinition]:
    for planned in selection.views:
        view = planned.view
        yield ViewDefinition(view=view.stored_as, version=view.version, definition_hash=definition_hash(view))
    for transform in selection.transforms:
        spec = transform.spec
        yield ViewDefinition(view=versioned(spec.name, None), version=None, definition_hash=definition_hash(spec))
