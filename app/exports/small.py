"""Small exports: a few rows, answered at once and kept nowhere."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from app.domain import ValueStatus
from app.errors import StoreUnavailableError
from app.exports.engine import open_engine, stopped_after
from app.exports.features import FeatureBatch, ResultColumns
from app.exports.file_spine import FileSpine
from app.exports.join import HOLDS, NOT_FOUND
from app.exports.point_in_time import point_in_time
from app.exports.ports import OfflineHistory
from app.exports.spine import spine_of_rows
from app.exports.spine_needs import SpineNeeds
from app.planning.selection import Selection


@dataclass(frozen=True)
class SmallResult:
    """All rows with all columns, and the statuses of the features, by feature, then row."""

    table: pa.Table
    features: Sequence[str]
    statuses: Sequence[Sequence[ValueStatus]]


def export_rows(
    selection: Selection,
    rows: Sequence[Mapping[str, Any]],
    history: OfflineHistory,
    max_rows: int,
    memory: int,
    seconds: float,
    known_at: bool = False,
    full_feature_names: bool = False,
) -> SmallResult:
    """The features of a selection for rows of JSON, as they held at the time of each. Blocks.

    On one core, as others are being served meanwhile, and for so many seconds at most. Raises InvalidRequestError for
    what is wrong with the rows, and what app.exports.run.run_export raises.
    """
    needs = SpineNeeds(selection.join_keys, selection.request_fields, max_rows, "FRESHET_SYNC_EXPORT_ROWS")
    types = [history.types(planned) for planned in selection.views]
    with tempfile.TemporaryDirectory(prefix="freshet-historical-") as folder:
        spine = FileSpine(spine_of_rows(rows, needs, Path(folder) / "spine.parquet", "spine"))
        columns = ResultColumns(selection, spine.schema, types, history.type_of, full_feature_names)
        with open_engine(memory, Path(folder) / "spill", threads=1) as engine, stopped_after(seconds, engine):
            try:
                batches = list(columns.batches(point_in_time(engine, selection, spine, history, known_at)))
            except duckdb.InterruptException as error:
                raise StoreUnavailableError(
                    f"The features were not found within {seconds:g} s; ask for fewer rows, or order an export"
                ) from error
    table = pa.Table.from_batches([batch.rows for batch in batches], columns.schema)
    return SmallResult(table, columns.features, [_statuses(batches, name) for name in columns.features])


def _statuses(batches: Sequence[FeatureBatch], name: str) -> list[ValueStatus]:
    found: list[ValueStatus] = []
    for batch in batches:
        given = batch.statuses[name]
        if isinstance(given, pa.Array):
            valid = batch.rows[name].is_valid().to_pylist()
            found += [_status(code, there) for code, there in zip(given.to_pylist(), valid, strict=True)]
        else:
            found += given
    return found


def _status(code: int, valid: bool) -> ValueStatus:
    if code == HOLDS:
        return ValueStatus.PRESENT if valid else ValueStatus.NULL_VALUE
    return ValueStatus.NOT_FOUND if code == NOT_FOUND else ValueStatus.OUTSIDE_MAX_AGE
