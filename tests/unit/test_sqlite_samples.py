"""Samples of Feast's SQLite tables that change while they are looked at."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from app.stores.sqlite_samples import _random_keys


class Emptied(sqlite3.Connection):
    """A connection to a table that somebody else empties before the statement of this number."""

    statements = 0
    at = 0

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """As the connection's."""
        if self.statements == self.at:
            super().execute("DELETE FROM rows")
        self.statements += 1
        return super().execute(*arguments)


@pytest.fixture
def connection() -> Iterator[Emptied]:
    with contextlib.closing(sqlite3.connect(":memory:", factory=Emptied)) as connection:
        connection.at = -1
        connection.execute("CREATE TABLE rows (entity_key BLOB)")
        connection.executemany("INSERT INTO rows VALUES (?)", [(bytes([number]),) for number in range(1, 100)])
        connection.statements = 0
        yield connection


@pytest.mark.parametrize(("statement", "found"), [(0, 0), (1, 0), (2, 1), (-1, 10)])
def test_a_table_that_is_emptied_meanwhile_gives_what_was_found(
    connection: Emptied, statement: int, found: int
) -> None:
    connection.at = statement
    assert len(_random_keys(connection, "rows", 10)) == found


def test_numbers_that_somebody_has_seeded_are_left_alone(connection: Emptied) -> None:
    # What looks in the background may look in the middle of somebody's reproducible run.
    before = random.getstate()
    assert len(_random_keys(connection, "rows", 10)) == 10
    assert random.getstate() == before
