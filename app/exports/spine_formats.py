"""Spines in files: Parquet, CSV and Arrow IPC, recognised and read batch by batch. The bytes are a stranger's: whatever
cannot be read is a fault of the request."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import FieldError, InvalidRequestError
from app.exports.spine_needs import SpineNeeds

BROKEN = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, IndexError, KeyError)
"""What Arrow raises where a file makes no sense."""
_BATCH = 32_768
_BUFFER = 2**20


class SpineFormat(enum.StrEnum):
    """A format that spines are read from; `arrow` is the IPC file as well as the stream."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"


_SUFFIXES = {
    ".parquet": SpineFormat.PARQUET,
    ".pq": SpineFormat.PARQUET,
    ".csv": SpineFormat.CSV,
    ".arrow": SpineFormat.ARROW,
    ".arrows": SpineFormat.ARROW,
    ".ipc": SpineFormat.ARROW,
    ".feather": SpineFormat.ARROW,
}
_ARROW_FILE, _ARROW_STREAM, _PARQUET = b"ARROW1", b"\xff\xff\xff\xff", b"PAR1"

Opened = AbstractContextManager[tuple[pa.Schema, Iterator[pa.RecordBatch]]]
"""The columns of a source and its rows, for as long as it is open."""


def recognised(path: Path, given: str | None, name: str | None) -> SpineFormat:
    """The format of a file: the one that is given, else by the suffix of its name, else by its first bytes. `name` is
    what the caller calls it, where that is not its path. Raises InvalidRequestError."""
    known = ", ".join(SpineFormat)
    if given is not None:
        if given.lower() in list(SpineFormat):
            return SpineFormat(given.lower())
        raise _refused(f"{given[:100]!r} is no format of a spine; known are {known}")
    by_name = _SUFFIXES.get(Path(name or path.name).suffix.lower())
    if by_name is not None:
        return by_name
    first = _first_bytes(path)
    if first.startswith(_PARQUET):
        return SpineFormat.PARQUET
    if first.startswith((_ARROW_FILE, _ARROW_STREAM)):
        return SpineFormat.ARROW
    raise _refused(
        f"neither its name nor its first bytes tell which format it has; let its name end with one of {known}"
    )


@contextmanager
def open_parquet(path: Path, needs: SpineNeeds) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The rows of a Parquet file. Raises InvalidRequestError, here and while they are read."""
    with readable(SpineFormat.PARQUET):
        # Read as it is needed: the columns of a row group may be all of the file.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
    with file:
        needs.check_rows(file.metadata.num_rows)
        with readable(SpineFormat.PARQUET):
            schema = _legible(file.schema_arrow)
        yield schema, checked(file.iter_batches(_BATCH), SpineFormat.PARQUET)


@contextmanager
def open_arrow(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The rows of an Arrow IPC file or stream. Raises InvalidRequestError, here and while they are read."""
    with readable(SpineFormat.ARROW):
        source = pa.memory_map(str(path))
    with source:
        with readable(SpineFormat.ARROW):
            if _first_bytes(path).startswith(_ARROW_FILE):
                file = pa.ipc.open_file(source)
                schema, batches = _legible(file.schema), (file.get_batch(at) for at in range(file.num_record_batches))
            else:
                stream = pa.ipc.open_stream(source)
                schema, batches = _legible(stream.schema), iter(stream)
        yield schema, checked(batches, SpineFormat.ARROW)


def checked(batches: Iterator[pa.RecordBatch], of: SpineFormat) -> Iterator[pa.RecordBatch]:
    """The batches, nothing in which leads out of them. Raises InvalidRequestError where they cannot be read."""
    while True:
        with readable(of):
            batch = next(batches, None)
            if batch is not None:
                # Texts that are none, and offsets that lead out of a buffer, would otherwise be believed.
                batch.validate(full=True)
        if batch is None:
            return
        yield batch


@contextmanager
def readable(of: SpineFormat) -> Iterator[None]:
    """Whatever fails inside the with block is the file's fault: raises InvalidRequestError."""
    try:
        yield
    except FileNotFoundError:
        raise _refused("there is no such file") from None
    except BROKEN as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise _refused(f"cannot be read as {of}: {lines[0][:200]}") from None


def _legible(schema: pa.Schema) -> pa.Schema:
    """The schema, without what programs have noted beside it. Raises UnicodeDecodeError for a name that is no text."""
    waiting = list(schema)
    while waiting:
        field = waiting.pop()
        kind = field.type
        _ = field.name, getattr(kind, "tz", None)
        waiting += [kind.field(position) for position in range(kind.num_fields)]
    return schema.remove_metadata()


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except FileNotFoundError:
        raise _refused("there is no such file") from None


def _refused(message: str) -> InvalidRequestError:
    return InvalidRequestError("The spine's file cannot be read", [FieldError("spine", message)])
