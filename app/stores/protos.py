"""Feast's value and key messages, from and to native Python values (app.values says which type is which)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

from app.domain import EntityKey, FieldSpec, OnlineRow, ViewSpec, to_moment, utc
from app.errors import FieldError, InvalidRequestError
from app.pushing.batch import RowBatch

_SCALAR_FIELDS = {
    "INT32": "int32_val",
    "INT64": "int64_val",
    "FLOAT": "float_val",
    "DOUBLE": "double_val",
    "BOOL": "bool_val",
    "STRING": "string_val",
    "BYTES": "bytes_val",
    "PDF_BYTES": "bytes_val",
    "IMAGE_BYTES": "bytes_val",
    "UUID": "uuid_val",
    "TIME_UUID": "time_uuid_val",
    "DECIMAL": "decimal_val",
}


def encode(value: Any, dtype: str) -> ValueProto:
    """The message for a native value of type `dtype`; an empty one for null, as Feast writes it."""
    if value is None:
        return ValueProto()
    field = _SCALAR_FIELDS.get(dtype)
    if field is not None:
        return ValueProto(**{field: value})
    if dtype == "UNIX_TIMESTAMP":
        return ValueProto(unix_timestamp_val=int(value.timestamp()))
    if dtype == "JSON":
        return ValueProto(json_val=_compact_json(value))
    if dtype == "JSON_LIST":
        return python_values_to_proto_values([[_compact_json(entry) for entry in value]], ValueType.JSON_LIST)[0]
    if dtype.endswith("_SET"):
        value = set(value)
    return python_values_to_proto_values([value], ValueType[dtype])[0]


def _compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode(message: ValueProto) -> Any:
    """The native value of a message; None for an empty one and for Feast's explicit null."""
    which = message.WhichOneof("val")
    if which is None or which == "null_val":
        return None
    if which in _DIRECT:
        return getattr(message, which)
    kind, _, collection = which.removesuffix("_val").rpartition("_")
    if collection not in ("list", "set"):
        kind, collection = which.removesuffix("_val"), ""
    element = _ELEMENTS.get(kind)
    if element is None:
        return _plain(feast_value_type_to_python_type(message))
    if not collection:
        return element(getattr(message, which))
    entries = [element(entry) for entry in getattr(message, which).val]
    return _plain(set(entries)) if collection == "set" else entries


def _moment(seconds: int) -> datetime | None:
    """None for the number that Feast writes for no time, and for a time that neither Python nor RFC 3339 can say."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _uuid(text: str) -> str | None:
    """The usual spelling; None for the empty text that Feast writes for a null inside a list."""
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return text


def _decimal(text: str) -> str | None:
    try:
        return str(Decimal(text)) if text else None
    except InvalidOperation:
        return text


_ELEMENTS: dict[str, Callable[[Any], Any]] = {
    "unix_timestamp": _moment,
    "uuid": _uuid,
    "time_uuid": _uuid,
    "decimal": _decimal,
}
"""Types of which Feast's own conversion stumbles over what Feast itself writes: by the name of the message's field."""
_DIRECT = frozenset({*_SCALAR_FIELDS.values()} - {"uuid_val", "time_uuid_val", "decimal_val"})


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted((_plain(entry) for entry in value), key=lambda entry: (str(type(entry)), str(entry)))
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, datetime):
        return utc(value)
    return str(value) if isinstance(value, Decimal | UUID) else value


def encode_key(key: EntityKey, dtypes: Sequence[str]) -> EntityKeyProto:
    """The message of an entity key; `dtypes` are the types of its join keys, in its order.

    A view without entities has one row, under the key that Feast gives it.
    """
    if not key.join_keys:
        return EntityKeyProto(join_keys=[DUMMY_ENTITY_ID], entity_values=[ValueProto(string_val=DUMMY_ENTITY_VAL)])
    return EntityKeyProto(
        join_keys=list(key.join_keys),
        entity_values=[encode(value, dtype) for value, dtype in zip(key.values, dtypes, strict=True)],
    )


FeastRow = tuple[EntityKeyProto, dict[str, ValueProto], datetime, datetime | None]
"""A row as Feast's online stores take it: key, values, event timestamp, created timestamp."""


def encode_rows(view: ViewSpec, batch: RowBatch) -> list[FeastRow]:
    """The view's columns of a batch as Feast's online stores take them.

    Raises InvalidRequestError for a nested value that Feast has no form for.
    """
    names = tuple(field.name for field in view.join_keys)
    dtypes = [field.dtype for field in view.join_keys]
    keys = zip(*(batch.columns[name] for name in names), strict=True) if names else [()] * len(batch)
    features = [encode_column(batch.columns[field.name], field) for field in view.features]
    return [
        (
            encode_key(EntityKey(names, key), dtypes),
            {field.name: column[row] for field, column in zip(view.features, features, strict=True)},
            to_moment(batch.event[row]),
            None if created is None else to_moment(created),
        )
        for row, (key, created) in enumerate(zip(keys, batch.created, strict=True))
    ]


def encode_column(values: Sequence[Any], field: FieldSpec) -> list[ValueProto]:
    """The messages of a feature's native values. Raises InvalidRequestError for one that Feast has no form for."""
    try:
        return [encode(value, field.dtype) for value in values]
    except (TypeError, ValueError) as error:
        # Feast's nested values must be of one type in each array, and it cannot tell the type of an empty one.
        fault = FieldError(field.name, str(error))
        raise InvalidRequestError(f"Feast cannot store {field.name}: {error}", [fault]) from error


def decode_row(timestamp: datetime | None, values: Mapping[str, ValueProto] | None) -> OnlineRow | None:
    """What a Feast online store returned for one entity, or None where it had no row.

    Stores that cannot tell a missing row return epoch 0 without a value; that means no row as well.
    """
    if timestamp is None or values is None:
        return None
    native = {name: decode(value) for name, value in values.items()}
    if utc(timestamp).timestamp() == 0 and all(value is None for value in native.values()):
        return None
    return OnlineRow(utc(timestamp), native)


def decode_timestamp(data: bytes) -> datetime:
    """The moment, in UTC and truncated to microseconds (rule 1), of a serialized Timestamp."""
    message = Timestamp.FromString(data)
    return datetime.fromtimestamp(message.seconds, tz=UTC).replace(microsecond=message.nanos // 1000)


Progress = Callable[[int], Any]
"""Called with a number of rows that were just written."""
