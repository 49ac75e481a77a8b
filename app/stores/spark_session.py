"""Feast's Spark jobs in the one session that a process has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from app.threads import DaemonThreads

THREAD = DaemonThreads("spark", 1)
"""For all of them: Feast gives their temporary views fixed names."""


def rows(make: Callable[[], Any]) -> pa.Table:
    """The rows of the job that `make` makes, as Arrow: Feast's own way goes through pandas, where integers beside a
    null become floats. The temporary views that it leaves, the rows that it was handed among them, are dropped."""
    from pyspark.sql import SparkSession

    session: Any = SparkSession.getActiveSession()
    before = _views(session) if session is not None else set()
    try:
        job = make()
        session = job.spark_session
        return job.to_spark_df().toArrow()
    finally:
        if session is not None:
            for view in _views(session) - before:
                session.catalog.dropTempView(view)


def _views(session: Any) -> set[str]:
    return {table.name for table in session.catalog.listTables() if table.isTemporary}


def stop_jobs() -> None:
    """Let Spark stop what it does for this process."""
    with contextlib.suppress(ImportError):
        from pyspark import SparkContext

        context = SparkContext._active_spark_context
        if context is not None:
            context.cancelAllJobs()
