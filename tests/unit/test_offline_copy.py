"""What the server says of a row that it refuses, in any language, as the row and the column that the caller knows."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
import pyarrow as pa
import pytest

from app.errors import ConfigurationError, FieldError, InvalidRequestError, StoreUnavailableError, UnstorableRowsError
from app.stores.offline_copy import _Group, _refusal

SCHEMA = pa.schema([("sensor_id", pa.int64()), ("raw_value", pa.float64())])
GROUP = _Group("Lab.Readings2", SCHEMA, {"raw_value": "value"}, b"1\n" * 5)
COPY = "COPY readings2, line"


def told(kind: type[psycopg.Error], context: str | None = None, column: str | None = None) -> psycopg.Error:
    """An error as the server would report it."""
    said = SimpleNamespace(message_primary="too  big", context=context, column_name=column)
    return type("Told", (kind,), {"diag": said})()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("context", "row", "column"),
    [
        ('COPY readings2, line 3, column raw_value: "7, column sensor_id: 1"', 2, "value"),
        ("COPY readings2, Zeile 5, Spalte sensor_id: »70000«", 4, "sensor_id"),
        ("COPY readings2, ligne 3, colonne raw_value : « 70000 »", 2, "value"),
        ('COPY readings2, line 1: "1\t5\t..."', 0, "Lab.Readings2"),
        ('JSON data, line 9: {\nCOPY readings2, line 2, column raw_value: "{"', 1, "value"),
    ],
)
def test_the_row_and_the_column_are_found(context: str, row: int, column: str) -> None:
    error = _refusal(told(psycopg.errors.NumericValueOutOfRange, context), GROUP)
    assert isinstance(error, UnstorableRowsError)
    assert error.faults == {row: (FieldError(column, "cannot be kept offline: too big"),)}


def test_a_constraint_that_knows_its_column_says_so() -> None:
    error = _refusal(told(psycopg.errors.NotNullViolation, 'COPY readings2, line 2: "x"', "raw_value"), GROUP)
    assert isinstance(error, UnstorableRowsError)
    assert error.faults[1][0].field == "value"


@pytest.mark.parametrize("context", [None, "", "COPY other, line 1", f"{COPY} 6", f"{COPY} 0"])
def test_a_row_that_is_not_told_is_not_made_up(context: str | None) -> None:
    error = _refusal(told(psycopg.errors.UniqueViolation, context), GROUP)
    assert type(error) is InvalidRequestError


def test_what_is_wrong_with_the_server_is_not_blamed_on_a_row() -> None:
    full = _refusal(told(psycopg.errors.DiskFull), GROUP)
    assert type(full) is StoreUnavailableError
    assert "free some space" in full.detail
    assert type(_refusal(told(psycopg.errors.LockNotAvailable), GROUP)) is StoreUnavailableError
    assert type(_refusal(told(psycopg.errors.InsufficientPrivilege), GROUP)) is ConfigurationError
