"""DuckDB as exports use it: in UTC, in bounded memory, with a folder to spill to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa

from app.exports.sql import text

T = TypeVar("T")

_SHARE = 0.5
"""Of the memory of an export. Python and its libraries have about a quarter of a GiB before it begins, Arrow's batches
and the writer of the result the rest; and DuckDB's limit does not count all that it takes."""
_BYTES_PER_ROW = 512
"""Of a spine and a view, while they are joined."""
_TICK = 0.2
"""Seconds; DuckDB notices an interruption between two batches."""


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
        engine.execute(f"SET VARIABLE rows_at_once = {memory // _BYTES_PER_ROW}")
        yield engine


@contextlib.contextmanager
def stopped_after(seconds: float, engine: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupt the engine when the time is up."""
    timer = threading.Timer(seconds, engine.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def rows_at_once(engine: duckdb.DuckDBPyConnection) -> int:
    """How many rows an engine of `open_engine` joins in its memory, about; more are joined in partitions."""
    ((rows,),) = engine.execute("SELECT getvariable('rows_at_once')").fetchall()
    return int(rows)


def wait_for(engine: duckdb.DuckDBPyConnection, future: Future[T]) -> T:
    """The result of a future, waited for inside a query: whoever interrupts the engine ends the wait as well. What is
    waited for then does not begin any more; if it has begun, it is left to itself. Raises duckdb.InterruptException,
    KeyboardInterrupt, and what the future raises."""
    schema = pa.schema([("tick", pa.bool_())])
    interrupted: list[KeyboardInterrupt] = []

    def ticks() -> Iterator[pa.RecordBatch]:
        try:
            while not wait([future], _TICK).done:
                yield pa.record_batch([pa.array([True])], schema)
        except KeyboardInterrupt as interrupt:  # DuckDB would take it for a fault of the stream
            interrupted.append(interrupt)

    engine.register("ticks", pa.RecordBatchReader.from_batches(schema, ticks()))
    try:
        engine.execute("SELECT count(*) FROM ticks").fetchall()
        if interrupted:
            raise interrupted[0]
        return future.result()
    finally:
        future.cancel()
        engine.unregister("ticks")
