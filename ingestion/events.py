"""Raw assistant events: their columns, and how a folder of them is opened."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from app.errors import ConfigurationError

_TIME = pa.timestamp("us", "UTC")

EVENT_SCHEMA: pa.Schema = pa.schema(
    [
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("event_time", _TIME),
        ("arrival_time", _TIME),
        ("duration_sec", pa.float64()),
        ("message_count", pa.int64()),
        ("tool_invocations", pa.int64()),
        ("model", pa.string()),
        ("tokens", pa.int64()),
    ]
)
"""One row is one delivery of one event: something a user did with the assistant.

- `user_id`: the user, the join key of the features. Null or empty: the event counts for nobody.
- `session_id`: the session of that user which the event belongs to. Null or empty: the event doesn't count.
- `event_time`: when it happened; UTC, microseconds. Null: the event doesn't count.
- `arrival_time`: when this copy reached us; UTC, microseconds. Before it nobody can have known of the event. Null: not
  arrived, so it doesn't count.
- `duration_sec`: how long the interaction took, in seconds; a session lasts as long as its events together. Null:
  unknown.
- `message_count`: messages the user sent in it. Null: none.
- `tool_invocations`: tool calls the assistant made in it. Null: none.
- `model`: name of the model that answered. Null: unknown.
- `tokens`: tokens read and written by the model. Null: none.

(user_id, session_id, event_time) identifies an event. Rows that share it are copies: delivery is at least once.
"""

_UTC_NAMES = frozenset({"UTC", "Etc/UTC", "+00:00"})


def event_files(folder: Path) -> list[Path]:
    """Every Parquet file in `folder` and below, sorted; whatever a name that starts with . or _ hides is left out."""
    return sorted(
        path
        for path in folder.rglob("*.parquet")
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )


def open_events(folder: Path) -> pads.Dataset:
    """The events in `folder` as a dataset of EVENT_SCHEMA; nothing but the files' footers is read yet.

    A folder without Parquet files is a dataset without rows. Raises ConfigurationError when `folder` isn't a folder or
    a file in it is no Parquet file or doesn't fit EVENT_SCHEMA (see check_schema).
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder of event files")
    files = event_files(folder)
    for file in files:
        try:
            schema = pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            raise ConfigurationError(f"{file} cannot be read as Parquet: {error}") from error
        check_schema(schema, str(file))
    return pads.dataset([str(file) for file in files], schema=EVENT_SCHEMA, format="parquet")


def check_schema(schema: pa.Schema, source: str) -> None:
    """Check that events of `schema` can be read as EVENT_SCHEMA without losing anything.

    Columns may come in any order and beside others. Narrower integers and floats and every encoding of strings fit.
    Times must be microseconds in UTC: what to do with local times or nanoseconds is for the writer to decide.
    Raises ConfigurationError that names `source` and every column that is missing or doesn't fit.
    """
    faults = [fault for column in EVENT_SCHEMA if (fault := _fault(schema, column))]
    if faults:
        raise ConfigurationError(f"{source} does not hold events: {'; '.join(faults)}")


def _fault(schema: pa.Schema, column: pa.Field) -> str | None:
    found = schema.get_all_field_indices(column.name)
    if len(found) != 1:
        return f"column {column.name} ({column.type}) is {'there twice' if found else 'missing'}"
    actual = schema.field(found[0]).type
    return None if _fits(actual, column.type) else f"column {column.name} is {actual}, not {column.type}"


def _fits(actual: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(actual) and actual.unit == wanted.unit and actual.tz in _UTC_NAMES)
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(actual) and actual != pa.uint64())
    if pa.types.is_floating(wanted):
        return bool(pa.types.is_floating(actual))
    text = actual.value_type if pa.types.is_dictionary(actual) else actual
    return bool(pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_string_view(text))
