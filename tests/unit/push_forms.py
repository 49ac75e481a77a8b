"""Bodies of a push in every form, decoded and checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from app.api.push_body import PushLimits, PushRequest, push_decoder
from app.domain import FieldSpec, ViewSpec, to_microseconds
from app.errors import FreshetError
from app.pushing.checked import CheckedRows
from app.pushing.schema import PushSchema

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIMITS = PushLimits(rows=100, body_bytes=100_000)
JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"

view = ViewSpec(
    "view",
    (FieldSpec("user", "STRING"),),
    (
        FieldSpec("count", "INT64"),
        FieldSpec("mean", "DOUBLE"),
        FieldSpec("flag", "BOOL"),
        FieldSpec("seen", "UNIX_TIMESTAMP"),
        FieldSpec("blob", "BYTES"),
        FieldSpec("document", "JSON"),
        FieldSpec("tags", "STRING_LIST"),
    ),
    None,
)
schema = PushSchema("events", [view], timedelta(minutes=5))


def decode(body: bytes, content_type: str = JSON, query: str = "") -> PushRequest:
    """What a body says; an empty content type stands for none."""
    headers = [(b"content-type", content_type.encode())] if content_type else []
    return push_decoder({"headers": headers, "query_string": query.encode()})(body, LIMITS)


def fault_of(error: type[FreshetError], *arguments: Any) -> str:
    """The field that the first fault of a body names; `arguments` are those of `decode`."""
    with pytest.raises(error) as caught:
        decode(*arguments)
    return caught.value.errors[0].field if caught.value.errors else ""


def stream(table: pa.Table, **options: Any) -> bytes:
    """A table as an Arrow stream of small batches."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=3)
    return bytes(sink.getvalue().to_pybytes())


def checked(request: PushRequest) -> str:
    """All that the check of the rows finds, to be compared."""
    found = CheckedRows.joined(list(schema.check(request.rows, to_microseconds(NOW))))
    columns = {name: list(values) for name, values in found.batch.columns.items()} if found.positions else {}
    reasons = [(row.position, row.reason) for row in found.rejected]
    return repr((list(found.positions), columns, list(found.batch.event), list(found.batch.created), reasons))
