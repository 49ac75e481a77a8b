"""Entity keys from the bytes that Feast's stores keep them in: the other way round than app.stores.keys.

Feast has a function for it as well, but that one takes whatever types it finds; a key of another type than the view's
is none of the view's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from struct import Struct, error
from typing import Any

from feast.infra.key_encoding_utils import serialize_entity_key, serialize_entity_key_prefix
from feast.protos.feast.types.Value_pb2 import ValueType

from app.domain import EntityKey, FieldSpec
from app.errors import NotServableError
from app.stores.protos import encode_key

_HEADER = Struct("<II")
_INT32 = Struct("<i")
_INT64 = Struct("<q")


def _timestamp(data: bytes) -> datetime:
    return datetime.fromtimestamp(_INT64.unpack(data)[0], UTC)


_KINDS: dict[str, tuple[int, Callable[[bytes], Any]]] = {
    "STRING": (ValueType.STRING, bytes.decode),
    "BYTES": (ValueType.BYTES, bytes),
    "PDF_BYTES": (ValueType.BYTES, bytes),
    "IMAGE_BYTES": (ValueType.BYTES, bytes),
    "INT32": (ValueType.INT32, lambda data: _INT32.unpack(data)[0]),
    "INT64": (ValueType.INT64, lambda data: _INT64.unpack(data)[0]),
    "UNIX_TIMESTAMP": (ValueType.UNIX_TIMESTAMP, _timestamp),
}
"""How Feast's format marks a value of each type, and how its bytes become a native value."""


class KeyReader:
    """Reads the keys of views with the same join keys."""

    def __init__(self, join_keys: Sequence[FieldSpec], version: int, ending: bytes = b"") -> None:
        """`version` is the repo's entity_key_serialization_version, `ending` what follows a key where it is stored.

        Raises NotServableError for a join key of a type that Feast cannot serialize.
        """
        for field in join_keys:
            if field.dtype not in _KINDS:
                raise NotServableError(f"Join key {field.name} is {field.dtype}, which Feast cannot use as a key")
        self._names = tuple(field.name for field in join_keys)
        order = sorted(range(len(join_keys)), key=lambda number: self._names[number])
        self._kinds = [_KINDS[join_keys[number].dtype] for number in order]
        self._places = [order.index(number) for number in range(len(order))]
        self._ending = ending
        self.prefix = bytes(serialize_entity_key_prefix(list(self._names), version))
        """How each of these keys begins, and keys of other types as well."""
        self.only: bytes | None = None
        """Of views without entities the one key that there is, its ending included."""
        if not join_keys:
            alone = encode_key(EntityKey((), ()), ())
            self.only = self.prefix = bytes(serialize_entity_key(alone, version)) + ending

    def parts(self, key: bytes) -> list[bytes] | None:
        """The values of a key in the order in which it holds them; None for one of anything else."""
        at = len(self.prefix)
        if not key.startswith(self.prefix):
            return None
        found = []
        for kind, _ in self._kinds:
            if at + _HEADER.size > len(key):
                return None
            written, length = _HEADER.unpack_from(key, at)
            if written != kind:
                return None
            at += _HEADER.size
            found.append(key[at : at + length])
            at += length
        # Past the end: the last value was cut off.
        if self.only is None and (at > len(key) or key[at:] != self._ending):
            return None
        return None if self.only is not None and key != self.only else found

    def read(self, key: bytes) -> EntityKey | None:
        """The entity of a key; None for one of anything else, and for a value that no caller can name."""
        found = self.parts(key)
        if found is None:
            return None
        try:
            values = [decode(part) for (_, decode), part in zip(self._kinds, found, strict=True)]
        except (error, ValueError, OverflowError, OSError):
            return None
        return EntityKey(self._names, tuple(values[place] for place in self._places))
