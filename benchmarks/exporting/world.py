"""Everything that exports need: the history, in files and in PostgreSQL, a repo over each, and the spines."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.exporting.check import expect
from benchmarks.exporting.dataset import VIEWS, Sizes, write_history, write_spine
from benchmarks.exporting.repo import fill_postgres, history_file, write_export_repo
from benchmarks.progress import Progress
from benchmarks.server import environment
from tests.servers import PostgresServer


@dataclass(frozen=True)
class ExportWorld:
    """The repos by store; by number of rows the spines, and what must be exported for them."""

    repos: Mapping[str, Path]
    spines: Mapping[int, Path]
    expected: Mapping[int, Path]
    postgres: str
    """The server in words."""
    folder: Path


@contextlib.contextmanager
def built(
    progress: Progress, *, sizes: Sizes, spines: Collection[int], stores: Collection[str]
) -> Iterator[ExportWorld]:
    """Write the history and the spines, fill PostgreSQL where it is wanted, apply the repos; remove it all at the end.

    PostgreSQL has the settings that it comes with: nothing of what is compared writes to it, or little.
    """
    folder = Path(tempfile.mkdtemp(prefix="freshet-bench-"))
    try:
        with contextlib.ExitStack() as stack:
            with progress.task("Writing history and spines", len(VIEWS) + 2 * len(spines)) as advance:
                for view in VIEWS:
                    write_history(history_file(folder, view.name), view, sizes)
                    advance(1)
                files = {rows: folder / f"spine-{rows}.parquet" for rows in spines}
                expected = {}
                for rows, file in files.items():
                    write_spine(file, rows, sizes)
                    advance(1)
                    expected[rows] = expect(folder, file)
                    advance(1)
            offline: dict[str, dict[str, object]] = {"parquet": {"type": "duckdb"}}
            description = "none"
            if "postgres" in stores:
                server = stack.enter_context(PostgresServer())
                database = stack.enter_context(server.database())
                with progress.task("Filling PostgreSQL", None):
                    fill_postgres(database.url, folder)
                offline["postgres"], description = database.feast_store, server.description
            yield ExportWorld(_repos(folder, offline, progress), files, expected, description, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _repos(folder: Path, offline: Mapping[str, dict[str, object]], progress: Progress) -> dict[str, Path]:
    def write(store: str) -> Path:
        return write_export_repo(folder, store, offline[store], environment(folder / f"apply-{store}"))

    with progress.task("feast apply", None), ThreadPoolExecutor() as pool:
        return dict(zip(offline, pool.map(write, offline), strict=True))
