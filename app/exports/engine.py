"""DuckDB as exports use it: in UTC, in bounded memory, with a folder to spill to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from app.exports.sql import text

_SHARE = 0.75
"""Of the memory of an export; Arrow's batches and Python have the rest. DuckDB's limit does not count all that it
takes."""


@contextlib.contextmanager
def open_engine(memory: int, folder: Path, threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty DuckDB that takes about `memory` bytes with all that is around it, and spills to `folder` beyond that.

    `threads`: how many of its own it may use; all cores unless given. Another thread may stop what it does with
    `interrupt`, which raises duckdb.InterruptException here.
    """
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"SET memory_limit = '{int(memory * _SHARE)}B'")
        engine.execute(f"SET temp_directory = {text(str(folder))}")
        if threads is not None:
            engine.execute(f"SET threads = {threads}")
        # Rows have a number; keeping the order of everything on the way costs memory.
        engine.execute("SET preserve_insertion_order = false")
        # What is not built in would be downloaded.
        engine.execute("SET autoinstall_known_extensions = false")
        yield engine
