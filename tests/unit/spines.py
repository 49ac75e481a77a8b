"""What the tests of spines share: a need, tables of every format, and what is in a spine's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from app.domain import FieldSpec
from app.errors import InvalidRequestError
from app.exports.spine_needs import SpineNeeds

FORMATS = ("parquet", "csv", "arrow", "stream")
SUFFIXES = {"stream": "arrow"}


def fields(**dtypes: str) -> dict[str, FieldSpec]:
    return {name: FieldSpec(name, dtype) for name, dtype in dtypes.items()}


def needs(max_rows: int = 1_000, request_fields: dict[str, str] | None = None, /, **keys: str) -> SpineNeeds:
    return SpineNeeds(fields(**(keys or {"user_id": "STRING"})), fields(**(request_fields or {})), max_rows)


def write(table: pa.Table, path: Path, form: str, batch_rows: int | None = None) -> Path:
    """The table as a file of one of FORMATS, in batches of so many rows."""
    rows = batch_rows or max(1, table.num_rows)
    if form == "parquet":
        pq.write_table(table, path, row_group_size=rows)
    elif form == "csv":
        pa_csv.write_csv(table, path)
    else:
        new = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
    return path


def errors(caught: pytest.ExceptionInfo[InvalidRequestError]) -> dict[str, str]:
    return {error.field: error.message for error in caught.value.errors}


def contents(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
