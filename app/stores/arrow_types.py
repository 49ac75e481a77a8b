"""Arrow types of columns in offline stores."""

from __future__ import annotations

import pyarrow as pa
from feast.types import FeastType, from_feast_to_pyarrow_type, from_value_type
from feast.value_type import ValueType

from app.domain import FieldSpec
from app.errors import ConfigurationError

# Feast 0.67 cannot say what Arrow type Bytes is.
_ADDED = {
    "BYTES": pa.binary(),
    "PDF_BYTES": pa.binary(),
    "IMAGE_BYTES": pa.binary(),
    "BYTES_LIST": pa.list_(pa.binary()),
}


def arrow_type(feast_type: FeastType) -> pa.DataType:
    """The Arrow type in which Feast keeps values of a type offline. Raises ConfigurationError where it has none."""
    added = _ADDED.get(feast_type.to_value_type().name)
    if added is not None:
        return added
    try:
        return from_feast_to_pyarrow_type(feast_type)
    except ValueError as error:
        raise ConfigurationError(f"Values of type {feast_type} cannot be kept offline") from error


def optional_arrow_type(feast_type: FeastType) -> pa.DataType | None:
    """As `arrow_type`, but None where Feast has none."""
    try:
        return arrow_type(feast_type)
    except ConfigurationError:
        return None


def field_type(field: FieldSpec) -> pa.DataType:
    """The Arrow type of a join key, or of a feature whose type its name says. Raises ConfigurationError without one."""
    return arrow_type(from_value_type(ValueType[field.dtype]))
