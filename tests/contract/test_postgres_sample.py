"""Random rows of PostgreSQL: some pages of a large table, and all of what has no pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from psycopg import sql

from app.stores import postgres_sample
from app.stores.postgres_sample import random_rows
from tests.servers import Postgres

ROWS = 40_000


class Recorded(psycopg.Connection[Any]):
    """A connection that keeps what it was asked."""

    asked: list[str]

    def execute(self, query: Any, *arguments: Any, **options: Any) -> psycopg.Cursor[Any]:
        """As the connection's."""
        self.asked.append(query.as_string(self) if isinstance(query, sql.Composable) else query)
        return super().execute(query, *arguments, **options)

    def samples(self) -> list[bool]:
        """Whether each query for rows was for some pages alone."""
        return ["TABLESAMPLE" in query for query in self.asked if "random()" in query]


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as database, psycopg.connect(database.url) as connection:
        connection.execute("CREATE SCHEMA odd")
        numbers = f"generate_series(1, {ROWS}) AS number"
        connection.execute(f"CREATE TABLE odd.\"Large\" AS SELECT number, repeat('x', 100) AS filler FROM {numbers}")
        connection.execute('CREATE VIEW shown AS SELECT * FROM odd."Large"')
        connection.execute("CREATE TABLE parts (number int, filler text) PARTITION BY RANGE (number)")
        for place, start in enumerate((0, ROWS // 2)):
            end = start + ROWS // 2
            connection.execute(f"CREATE TABLE part{place} PARTITION OF parts FOR VALUES FROM ({start}) TO ({end})")
        connection.execute(f'INSERT INTO parts SELECT * FROM odd."Large" WHERE number < {ROWS}')
        connection.execute("CREATE TABLE parent (number int)")
        connection.execute("CREATE TABLE child (filler text) INHERITS (parent)")
        connection.execute('INSERT INTO child SELECT * FROM odd."Large"')
        connection.commit()
        yield database.url


@pytest.fixture
def connection(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    monkeypatch.setattr(postgres_sample, "_FEW_PAGES", 50)
    monkeypatch.setattr(postgres_sample, "_SAMPLED_PAGES", (20, 100))
    with Recorded.connect(database) as connection:
        connection.asked = []
        yield connection


def some(connection: Recorded, condition: str = "true", **source: str) -> set[int]:
    """At most ten numbers of a source."""
    found = random_rows(
        connection,
        PostgreSQLSource(name="s", **source),
        [sql.SQL("number")],
        [sql.SQL(condition)],
        10,
    )
    return {number for (number,) in found}


@pytest.mark.parametrize("table", ['odd."Large"', "parts"])
def test_of_a_large_table_some_pages_are_read(connection: Recorded, table: str) -> None:
    first, second = some(connection, table=table), some(connection, table=table)
    assert len(first) == len(second) == 10
    assert first != second
    assert connection.samples() == [True, True]


def test_where_few_rows_hold_more_pages_are_read(connection: Recorded) -> None:
    # Ten rows in some 670 pages, of which the first sample has 20.
    assert some(connection, "number % 4000 = 0", table='odd."Large"')
    assert connection.samples()[:2] == [True, True]


def test_where_none_of_them_holds_all_are_read(connection: Recorded) -> None:
    assert some(connection, "number = 17", table='odd."Large"') <= {17}
    assert connection.samples()[:2] == [True, True]
    assert some(connection, "number = -1", table='odd."Large"') == set()
    assert connection.samples()[-3:] == [True, True, False]


@pytest.mark.parametrize(
    "source",
    [
        {"table": "shown"},
        {"table": "parent"},
        {"table": "(SELECT 1 AS number)"},
        {"query": 'SELECT * FROM odd."Large"'},
    ],
)
def test_what_has_no_pages_is_read_whole(connection: Recorded, source: dict[str, str]) -> None:
    connection.execute("SET TIME ZONE 'Asia/Tokyo'")
    assert some(connection, **source)
    assert connection.samples() == [False]
    # What is no table has not ended the settings of the session.
    assert connection.execute("SHOW TIME ZONE").fetchone() == ("Asia/Tokyo",)


def test_a_small_table_is_read_whole(connection: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_sample, "_FEW_PAGES", 5_000)
    assert len(some(connection, table='odd."Large"')) == 10
    assert connection.samples() == [False]
