"""DuckDB's ASOF join straight on the files: what the disk and the engine allow, without ties, ttl, statuses, the order
of the spine, or a limit of memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.exporting.dataset import ENTITY, VIEWS
from benchmarks.exporting.exporter import Export
from benchmarks.exporting.repo import history_file


@contextlib.contextmanager
def opened(repo: Path) -> Iterator[Export]:
    """The query over the history beside the repo."""

    def export(spine: Path, target: Path) -> None:
        shown = ", ".join(f"{view.name}.{feature}" for view in VIEWS for feature in view.fields)
        joins = " ".join(
            f"ASOF LEFT JOIN read_parquet('{history_file(repo.parent, view.name)}') {view.name}"
            f" ON s.{ENTITY} = {view.name}.{ENTITY} AND s.event_timestamp >= {view.name}.event_timestamp"
            for view in VIEWS
        )
        with duckdb.connect() as engine:
            engine.execute(
                f"COPY (SELECT s.*, {shown} FROM read_parquet('{spine}') s {joins})"
                f" TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
            )

    yield export
