"""The formats of a result, and a writer for each that takes rows as they come.

The bytes follow from the rows and the versions of the libraries alone: no clock, and no trace of the batches.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from app.errors import FieldError, InvalidRequestError
from app.exports.json_text import JsonText
from app.exports.plain_types import as_plain, canonical, is_odd, plain_schema, worth_a_dictionary
from app.exports.row_groups import RowGroups
from app.exports.text_types import as_text_types, csv_type, is_plain_text, no_text


class ExportFormat(enum.StrEnum):
    """How the rows of a result are written."""

    PARQUET = "parquet"
    """Compressed with zstd."""
    CSV = "csv"
    """UTF-8 with a header; null is nothing, an empty text is \"\"; nested values are JSON, bytes are base64."""
    ARROW = "arrow"
    """An Arrow IPC file, its buffers compressed with zstd."""
    JSONL = "jsonl"
    """A JSON object per line; NaN and the infinities are null, bytes are base64, times RFC 3339 in UTC."""

    @property
    def media_type(self) -> str:
        """For the content-type header."""
        return _MEDIA_TYPES[self]

    @property
    def suffix(self) -> str:
        """The end of a file's name, with its dot."""
        return f".{self.value}"


_MEDIA_TYPES = {
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.ARROW: "application/vnd.apache.arrow.file",
    ExportFormat.JSONL: "application/x-ndjson",
}


class _Encoder(Protocol):
    def write(self, group: pa.Table) -> None:
        """Write the rows of one group."""

    def close(self) -> None:
        """Write what ends the file."""


class ResultWriter:
    """Writes batches, in the order in which they come, with two groups of rows in memory (see RowGroups): one is
    encoded, in a thread, while the next one comes."""

    def __init__(self, encoder: _Encoder, schema: pa.Schema, thread: Executor) -> None:
        self._encoder = encoder
        self._thread = thread
        self._encoding: Future[None] | None = None
        self._groups = RowGroups(schema)
        self.schema = schema
        """The columns as they are written: without dictionaries, extensions and metadata."""
        self.rows = 0
        """How many were taken so far."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch of any size. Raises what the sink raises, a group later, and ValueError where the batch has
        other columns."""
        for group in self._groups.add(as_plain(batch, self.schema)):
            self._encode(group)
        self.rows += batch.num_rows

    def finish(self) -> None:
        """Write the last rows and what ends the file."""
        for group in self._groups.rest():
            self._encode(group)
        self.wait()
        self._encoder.close()

    def wait(self) -> None:
        """Return when no group is being encoded. Raises what the sink has raised."""
        encoding, self._encoding = self._encoding, None
        if encoding is not None:
            encoding.result()

    def _encode(self, group: pa.Table) -> None:
        self.wait()
        self._encoding = self._thread.submit(self._encoder.write, group)


@contextlib.contextmanager
def result_writer(form: ExportFormat, schema: pa.Schema, sink: BinaryIO) -> Iterator[ResultWriter]:
    """A writer of rows of `schema` into `sink`, which is left open. The file is complete when the with block has ended
    without an error; without any row it still has the columns.

    Raises InvalidRequestError that names every column of a type that the format does not hold.
    """
    schema = plain_schema(schema)
    check_types(form, schema)
    with contextlib.ExitStack() as stack:
        encoder = _ENCODERS[form](schema, sink, stack)
        writer = ResultWriter(encoder, schema, stack.enter_context(ThreadPoolExecutor(1, "result")))
        try:
            yield writer
            writer.finish()
        except BaseException:
            # One that is left open writes its end when it is collected, by when the sink is closed.
            for end in (writer.wait, encoder.close):
                with contextlib.suppress(Exception):
                    end()
            raise


def check_types(form: ExportFormat, schema: pa.Schema) -> None:
    """Raises InvalidRequestError that names every column of a type that the format does not hold."""
    faults = [field for field in plain_schema(schema) if is_odd(field.type) or _REFUSES[form](field.type)]
    if faults:
        message = "leave it out, convert it, or take another format"
        errors = [FieldError(field.name, f"{field.type} is not written as {form}; {message}") for field in faults]
        raise InvalidRequestError(f"The format {form} does not hold every column", errors)


def _no_parquet(dtype: pa.DataType) -> bool:
    try:
        pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([("column", dtype)])).close()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return True
    return False


class _Parquet:
    def __init__(self, schema: pa.Schema, sink: BinaryIO, _: contextlib.ExitStack) -> None:
        self._writer = pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=worth_a_dictionary(schema))

    def write(self, group: pa.Table) -> None:
        self._writer.write_table(group, row_group_size=max(group.num_rows, 1))

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    def __init__(self, schema: pa.Schema, sink: BinaryIO, _: contextlib.ExitStack) -> None:
        self._writer = pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))

    def write(self, group: pa.Table) -> None:
        columns = [canonical(column.combine_chunks()) for column in group.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=group.schema))

    def close(self) -> None:
        self._writer.close()


class _Csv:
    """Arrow writes the columns that CSV has a form for; the others are made text first."""

    def __init__(self, schema: pa.Schema, sink: BinaryIO, stack: contextlib.ExitStack) -> None:
        self._json = stack.enter_context(contextlib.closing(JsonText()))
        self._others = [number for number, field in enumerate(schema) if not is_plain_text(field.type)]
        for number, field in enumerate(schema):
            schema = schema.set(number, pa.field(field.name, csv_type(field.type)))
        self._schema = schema
        self._writer = pa.csv.CSVWriter(sink, schema)

    def write(self, group: pa.Table) -> None:
        if self._others:
            texts = self._json.columns(as_text_types(group.select(self._others)))
            for number, text in zip(self._others, texts, strict=True):
                group = group.set_column(number, group.schema.field(number).name, text)
        self._writer.write_table(group.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    def __init__(self, _: pa.Schema, sink: BinaryIO, stack: contextlib.ExitStack) -> None:
        self._json = stack.enter_context(contextlib.closing(JsonText()))
        self._sink = sink

    def write(self, group: pa.Table) -> None:
        for piece in self._json.lines(as_text_types(group)):
            self._sink.write(piece)

    def close(self) -> None:
        """A line ends with its row."""


_ENCODERS: Mapping[ExportFormat, Callable[[pa.Schema, BinaryIO, contextlib.ExitStack], _Encoder]] = {
    ExportFormat.PARQUET: _Parquet,
    ExportFormat.CSV: _Csv,
    ExportFormat.ARROW: _Arrow,
    ExportFormat.JSONL: _JsonLines,
}

_REFUSES: Mapping[ExportFormat, Callable[[pa.DataType], bool]] = {
    ExportFormat.PARQUET: _no_parquet,
    ExportFormat.CSV: no_text,
    ExportFormat.ARROW: lambda dtype: False,
    ExportFormat.JSONL: no_text,
}
