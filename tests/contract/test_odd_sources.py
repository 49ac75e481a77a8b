"""Sources as strangers leave them: the join finds the right row in them, or says in one line what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import ConfigurationError, FreshetError, StoreUnavailableError
from app.exports import join
from app.exports.engine import open_engine
from app.exports.ports import Scope
from app.stores.history import FeastHistory
from tests.contract.history import DEFINITIONS, HOUR, NOON, UTC_MICROS, HistoryCase, opened_history, rows_of, spine_of
from tests.oracle import NOT_FOUND, PRESENT, Fact
from tests.servers import Database, Postgres

BIG = 2**53


@pytest.fixture
def files(tmp_path: Path) -> Iterator[HistoryCase]:
    """A repo over Parquet, in a folder whose name looks like a partition of its rows."""
    folder = tmp_path / "driver_id=7"
    folder.mkdir()
    with opened_history("parquet", folder, None) as case:
        yield case


@pytest.fixture
def tables(tmp_path: Path, postgres: Postgres) -> Iterator[HistoryCase]:
    """A repo over PostgreSQL."""
    with postgres.database() as database, opened_history("postgres", tmp_path, database) as case:
        yield case


def ratings(ids: pa.Array, stars: list[int], at: list[datetime] | pa.Array | None = None) -> pa.Table:
    """Rows of `ratings` with keys of any type."""
    times = at if isinstance(at, pa.Array) else pa.array(at or [NOON] * len(stars), UTC_MICROS)
    return pa.table({"driver_id": ids, "ts": times, "stars": pa.array(stars), "why": pa.array(["w"] * len(stars))})


def stars(case: HistoryCase, *keys: int, at: datetime = NOON) -> list[Any]:
    """The stars of these drivers at a time, None where there is no row."""
    spine = spine_of([(at, key) for key in keys], driver_id=pa.int64())
    found = rows_of(case.join(case.features("ratings:stars"), spine))
    assert all((status == PRESENT) == (values[0] is not None) for status, values in found)
    return [values[0] for _, values in found]


def test_integers_that_pandas_made_reals_of_in_one_file_stay_exact_in_all(files: HistoryCase) -> None:
    files.write_table("ratings", ratings(pa.array([BIG + 1, BIG]), [1, 2]))
    parts = files.folder / "data" / "ratings.parquet.parts"
    parts.mkdir()
    pq.write_table(ratings(pa.array([1.0, float("nan")]), [3, 4]), parts / "part.parquet")
    assert stars(files, BIG + 1, BIG, 1) == [1, 2, 3]


def test_a_folder_that_looks_like_a_partition_says_nothing(files: HistoryCase) -> None:
    files.write("ratings", [Fact((1,), NOON, None, (5, "w"))])
    assert stars(files, 7, 1) == [None, 5]


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("start", [NOON, NOON.replace(year=1960)])
def test_nanoseconds_are_cut_off_and_not_rounded(files: HistoryCase, zone: str | None, start: datetime) -> None:
    first = int(start.timestamp()) * 10**9
    times = pa.array([first + 400, first + 999, first - 1], pa.timestamp("ns", tz=zone))
    files.write_table("ratings", ratings(pa.array([1, 2, 3]), [1, 2, 3], times))
    assert stars(files, 1, 2, 3, at=start) == [1, 2, 3]
    assert stars(files, 3, at=start - timedelta(microseconds=1)) == [3]
    assert stars(files, 2, at=start - timedelta(microseconds=1)) == [None]


def test_a_file_that_is_replaced_meanwhile_changes_nothing(files: HistoryCase, monkeypatch: pytest.MonkeyPatch) -> None:
    place = files.folder / "data" / "ratings.parquet"
    files.write("ratings", [Fact((1,), NOON, None, (5, "w"))])
    query = join.query

    def replaced(*arguments: Any) -> str:
        other = place.with_suffix(".other")
        pq.write_table(ratings(pa.array([1, 1, 1]), [1, 9, 3]), other)
        other.replace(place)
        return query(*arguments)

    monkeypatch.setattr(join, "query", replaced)
    assert stars(files, 1) == [5]
    monkeypatch.undo()
    assert stars(files, 1) == [9]


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (pa.array(["1", "007", "-3"]), {1: 1, 7: 2, -3: 3}),
        (pa.array(["1.5", " 2 ", "1e1"]), {1: None, 2: None, 10: None}),
        (pa.array([1.5, 2.0, 1e300]), {1: None, 2: 2}),
        (pa.array([1, 2, 3], pa.int16()), {1: 1, 3: 3}),
        (pa.array([True, False, True]), {1: None, 0: None}),
        (pa.array([1, 2, 3], pa.decimal128(4, 1)), {1: 1, 2: 2}),
    ],
)
def test_a_key_that_is_no_value_of_its_type_belongs_to_nobody(
    files: HistoryCase, stored: pa.Array, found: dict[int, int | None]
) -> None:
    files.write_table("ratings", ratings(stored, [1, 2, 3]))
    assert stars(files, *found) == list(found.values())


def test_columns_that_differ_in_case_alone_are_refused(files: HistoryCase) -> None:
    table = ratings(pa.array([1]), [5]).append_column("Stars", pa.array([9]))
    files.write_table("ratings", table)
    with pytest.raises(ConfigurationError, match="columns that differ in case alone: stars, Stars; rename one"):
        stars(files, 1)


def test_a_file_that_is_not_parquet_is_named_in_one_line(files: HistoryCase) -> None:
    (files.folder / "data" / "ratings.parquet").write_text("no parquet", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="A file of source ratings cannot be read as Parquet") as caught:
        stars(files, 1)
    assert "\n" not in caught.value.detail


def test_a_time_that_is_text_is_told_in_one_line(files: HistoryCase) -> None:
    files.write_table("ratings", ratings(pa.array([1]), [5], pa.array(["soon"])))
    with pytest.raises(ConfigurationError, match="cannot be joined") as caught:
        stars(files, 1)
    assert "\n" not in caught.value.detail


def run(case: HistoryCase, *statements: str) -> None:
    """Run these in the database of a case."""
    assert case.database is not None
    with psycopg.connect(case.database.url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_keys_of_numeric_columns_are_exact(tables: HistoryCase) -> None:
    run(
        tables,
        "CREATE TABLE ratings (driver_id numeric(20, 2), ts timestamptz, stars int, why text)",
        f"INSERT INTO ratings VALUES ({BIG + 1}, '{NOON}', 1, ''), ({BIG}, '{NOON}', 2, ''), (1.5, '{NOON}', 3, '')",
    )
    assert stars(tables, BIG + 1, BIG, 1, 2) == [1, 2, None, None]


def test_a_text_key_over_a_numeric_column(tables: HistoryCase) -> None:
    run(
        tables,
        "CREATE TABLE trips (driver_id int, customer_id numeric, paid float8, note text, stops int,"
        " ts timestamptz, made timestamptz)",
        f"INSERT INTO trips VALUES (1, 7, 1.5, 'n', 2, '{NOON}', NULL), (1, 7.5, 2.5, 'n', 2, '{NOON}', NULL)",
    )
    spine = spine_of(
        [(NOON, 1, "7"), (NOON, 1, "7.0"), (NOON, 1, "7.5")], driver_id=pa.int64(), customer_id=pa.string()
    )
    found = rows_of(tables.join(tables.features("trips:fare"), spine))
    assert found == [(PRESENT, (1.5,)), (NOT_FOUND, (None,)), (PRESENT, (2.5,))]


def test_a_table_that_is_locked_is_given_up_in_time(tables: HistoryCase) -> None:
    tables.write("ratings", [Fact((1,), NOON, None, (5, "w"))])
    views = tables.history._views
    history = FeastHistory(tables.repo.store.config, views, seconds=0.3)
    case = HistoryCase(tables.kind, tables.folder, tables.database, tables.repo, tables.catalog, history)
    assert tables.database is not None
    with psycopg.connect(tables.database.url) as connection:
        connection.execute("LOCK TABLE ratings IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailableError, match="did not answer in time"):
            stars(case, 1)
    assert stars(case, 1) == [5]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM nowhere", 'Source ratings cannot be read: relation "nowhere" does not exist'),
        ("SELECT 1 AS driver_id;", "Source ratings cannot be read: syntax error"),
        (
            "SELECT 1 / (d - 1) AS driver_id, timestamptz '2026-11-22 11:00Z' AS ts, 1 AS stars, '' AS why"
            " FROM generate_series(1, 2) d",
            "could not be read",
        ),
    ],
)
def test_a_query_that_postgresql_does_not_take(tmp_path: Path, postgres: Postgres, query: str, says: str) -> None:
    definitions = DEFINITIONS.replace(
        "return {source}",
        f"return PostgreSQLSource(name=name, query={query!r}, **times) if name == 'ratings' else {{source}}",
    )
    with postgres.database() as database, opened_history("postgres", tmp_path, database, definitions) as case:
        with pytest.raises(FreshetError, match=says.replace("(", "\\(")) as caught:
            stars(case, 1)
        assert "\n" not in caught.value.detail
        _without_secrets(database, caught.value.detail)


def _without_secrets(database: Database, text: str) -> None:
    assert database.password is None or database.password not in text


def test_a_join_reads_on_while_the_rows_are_written_anew(files: HistoryCase) -> None:
    """Whoever recomputes a single file must not wait for the end of an export."""
    files.write("ratings", [Fact((1,), NOON, None, (5, "w"))])
    spine = spine_of([(NOON + HOUR, 1)], driver_id=pa.int64())
    selection = files.features("ratings:stars")
    (planned,) = selection.views
    view: Any = files.repo.store.get_feature_view("ratings")
    with (
        open_engine(2**28, files.folder / "spill") as engine,
        files.history.attach(engine, "rows_0", planned, Scope(None, NOON + HOUR)),
    ):
        store = files.repo.store.provider.offline_store
        rows = ratings(pa.array([1]), [8], [NOON + HOUR])
        store.write_rows(files.repo.store.config, view.batch_source, rows, replacing={"ts": NOON + HOUR})
        assert engine.execute("SELECT f0 FROM rows_0").fetchall() == [(5,)]
    assert rows_of(files.join(selection, spine)) == [(PRESENT, (8,))]
