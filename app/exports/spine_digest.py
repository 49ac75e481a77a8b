"""What a spine says, as one checksum: the same for the same values, whichever file format, file version, batches and
layouts of Arrow they came in."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from app.exports.spine_types import is_list, plain_type
from app.exports.spine_values import plain


class _Stream:
    """One kind of bytes of one column, and how many values they are of."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.values = 0


class SpineDigest:
    """A checksum over batches of one schema.

    Each column has streams of its own that grow with every batch: the places of its nulls, the bytes of its other
    values (little-endian), and their lengths where these differ; a nested column has the same for its parts. The
    checksum is the SHA-256 of names, types and the SHA-256 of each stream. A dictionary counts as its values, a text as
    a text however its offsets are kept, and every NaN as the same.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._names = [[field.name, _said_type(field.type)] for field in schema]
        self._streams: defaultdict[str, _Stream] = defaultdict(_Stream)
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Go on with the rows that follow."""
        self._rows += batch.num_rows
        for position, array in enumerate(batch.columns):
            self._feed(str(position), array)

    def hexdigest(self) -> str:
        """The checksum of all rows so far."""
        streams = {path: stream.sha256.hexdigest() for path, stream in sorted(self._streams.items()) if stream.values}
        said = json.dumps([self._names, self._rows, streams], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()

    def _feed(self, path: str, array: pa.Array) -> None:
        array = plain(array)
        whole = self._streams[f"{path} rows"]
        if array.null_count:
            places = pc.indices_nonzero(array.is_null()).to_numpy().astype(np.int64)
            self._add(f"{path} nulls", places + whole.values)
        whole.values += len(array)
        self._feed_values(path, array.drop_null())

    def _feed_values(self, path: str, array: pa.Array) -> None:
        kind = array.type
        if len(array) == 0 or kinds.is_null(kind):
            return
        if kinds.is_struct(kind):
            for position, part in enumerate(array.flatten()):
                self._feed(f"{path}.{position}", part)
        elif kinds.is_map(kind):
            entry = pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)])
            self._feed_values(path, array.cast(pa.list_(entry)))
        elif is_list(kind):
            self._add(f"{path} lengths", pc.list_value_length(array).to_numpy().astype(np.int64))
            self._feed(f"{path}.", array.flatten())
        elif kinds.is_string(kind) or kinds.is_binary(kind):
            offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
            self._add(f"{path} lengths", np.diff(offsets).astype(np.int64))
            self._add(path, np.frombuffer(array.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]])
        elif kinds.is_boolean(kind):
            self._add(path, array.cast(pa.uint8()).to_numpy())
        else:
            self._add(path, _fixed_width(array))

    def _add(self, path: str, values: np.ndarray[Any, Any]) -> None:
        stream = self._streams[path]
        stream.values += len(values)
        stream.sha256.update(np.ascontiguousarray(values).data)


def _fixed_width(array: pa.Array) -> np.ndarray[Any, Any]:
    if kinds.is_floating(array.type):
        numbers = array.to_numpy()
        return np.where(np.isnan(numbers), np.array(np.nan, numbers.dtype), numbers)
    width = array.type.bit_width // 8
    return np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width : (array.offset + len(array)) * width]


def _said_type(kind: pa.DataType) -> Any:
    kind = plain_type(kind)
    if kinds.is_map(kind):
        return ["map", _said_type(kind.key_type), _said_type(kind.item_type)]
    if is_list(kind):
        return ["list", _said_type(kind.value_type)]
    if kinds.is_struct(kind):
        return ["struct", *([field.name, _said_type(field.type)] for field in kind)]
    return str(kind)
