"""The point-in-time join against a plain implementation of rule 1, over every kind of store whose rows come to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.exports.engine import open_engine
from app.exports.point_in_time import point_in_time
from app.exports.table_spine import TableSpine
from tests.contract.history import (
    FOREIGN,
    HOUR,
    KINDS,
    MICROSECOND,
    NOON,
    HistoryCase,
    opened_history,
    rows_of,
    spine_of,
)
from tests.oracle import NOT_FOUND, OUTSIDE_MAX_AGE, PRESENT, Fact, holding
from tests.servers import Database, Postgres

TRIP_KEYS = {"driver_id": pa.int64(), "customer_id": pa.string()}
TRIP = ["trips:fare", "trips:note", "trips:stops"]


@pytest.fixture(scope="module", params=[*KINDS, *FOREIGN])
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[HistoryCase]:
    """One store after the other; each test says what is in it."""
    kind: str = request.param
    with (
        postgres.database() if kind == "postgres" else nullcontext() as database,
        opened_history(kind, tmp_path_factory.mktemp("history"), database) as opened,
    ):
        yield opened


# Few values, at the edges, so that most examples have ties, repetitions, late rows and values that expire to the
# microsecond.
moments = st.sampled_from([NOON + hours * HOUR + edge * MICROSECOND for hours in (0, 1, 1.5) for edge in (0, 1)])
keys = st.sampled_from([(1, "23"), (12, "3"), (2**53 + 1, "é")]) | st.tuples(
    st.sampled_from([None, 1, 123, -(2**63), 2**53]), st.sampled_from([None, "23", "e\u0301", "", "Zoë'\"\\", "😀"])
)
fares = st.none() | st.sampled_from([0.0, 1.5, -2.25])
notes = st.none() | st.sampled_from(["", "a", "B", "é", "\uffff", "😀"])
stops = st.none() | st.sampled_from([0, 2**53 + 1, -(2**63)])
trips = st.builds(Fact, keys, moments, st.none() | moments, st.tuples(fares, notes, stops))
drivers = st.sampled_from([1, 12, -(2**63)])
asked = st.builds(lambda at, key: (at, *key), moments, keys)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.lists(trips, max_size=40),
    rows=st.lists(asked, max_size=20),
    known_at=st.booleans(),
    created_until=st.none() | moments,
    at_once=st.none() | st.integers(1, 20),
)
def test_equal_to_a_plain_implementation(
    case: HistoryCase,
    facts: list[Fact],
    rows: list[tuple[Any, ...]],
    known_at: bool,
    created_until: datetime | None,
    at_once: int | None,
) -> None:
    """Joined at once and in partitions."""
    if case.foreign and known_at:  # Feast's filter takes a null for never
        facts = [fact if fact.created else dataclasses.replace(fact, created=fact.event) for fact in facts]
    case.write("trips", facts)
    found = case.join(case.features(*TRIP), spine_of(rows, **TRIP_KEYS), known_at, created_until, at_once=at_once)
    wanted = [holding(facts, tuple(key), at, HOUR, known_at, created_until) for at, *key in rows]
    assert rows_of(found) == [(status, values or (None, None, None)) for status, values in wanted]
    assert [row for batch in found for row in batch.spine.to_pylist()] == spine_of(rows, **TRIP_KEYS).to_pylist()


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.lists(
        st.builds(Fact, st.tuples(drivers), moments, st.none(), st.tuples(st.none() | st.integers(-1, 1), notes)),
        max_size=25,
    ),
    rows=st.lists(st.tuples(moments, drivers), max_size=12),
    known_at=st.booleans(),
)
def test_without_a_created_column_and_without_a_ttl(
    case: HistoryCase, facts: list[Fact], rows: list[tuple[datetime, int]], known_at: bool
) -> None:
    """One feature of the two is asked for; both decide which row it comes from."""
    case.write("ratings", facts)
    found = case.join(case.features("ratings:why"), spine_of(rows, driver_id=pa.int64()), known_at)
    wanted = [holding(facts, (driver,), at, None) for at, driver in rows]
    assert rows_of(found) == [(status, (values[1] if values else None,)) for status, values in wanted]


def test_the_ttl_ends_after_its_last_microsecond(case: HistoryCase) -> None:
    case.write("trips", [Fact((1, "a"), NOON, NOON, (1.5, "n", 2))])
    times = [NOON - MICROSECOND, NOON, NOON + HOUR, NOON + HOUR + MICROSECOND]
    spine = spine_of([(at, 1, "a") for at in times], **TRIP_KEYS)
    held, none = (PRESENT, (1.5, "n", 2)), (None, None, None)
    assert rows_of(case.join(case.features(*TRIP), spine)) == [(NOT_FOUND, none), held, held, (OUTSIDE_MAX_AGE, none)]


def test_keys_that_look_alike_written_together_are_not_mixed(case: HistoryCase) -> None:
    """Feast's PostgreSQL join puts keys together without anything between them."""
    case.write("trips", [Fact((1, "23"), NOON, NOON, (1.0, "a", 1)), Fact((12, "3"), NOON, NOON, (2.0, "b", 2))])
    spine = spine_of([(NOON, 1, "23"), (NOON, 12, "3"), (NOON, 123, ""), (NOON, 1, "3")], **TRIP_KEYS)
    found = rows_of(case.join(case.features("trips:note"), spine))
    assert found == [(PRESENT, ("a",)), (PRESENT, ("b",)), (NOT_FOUND, (None,)), (NOT_FOUND, (None,))]


def test_late_data_does_not_leak_where_it_must_have_been_known(case: HistoryCase) -> None:
    late = Fact((1, "a"), NOON - MICROSECOND, NOON + HOUR, (2.0, "late", 2))
    correction = Fact((1, "a"), NOON - HOUR / 2, NOON + HOUR / 4, (3.0, "corrected", 3))
    case.write("trips", [Fact((1, "a"), NOON - HOUR / 2, NOON - HOUR / 2, (1.0, "first", 1)), late, correction])
    spine = spine_of([(NOON + HOUR / 4 - MICROSECOND, 1, "a"), (NOON + HOUR / 4, 1, "a"), (NOON, 1, "a")], **TRIP_KEYS)
    known = rows_of(case.join(case.features("trips:note"), spine, known_at=True))
    assert known == [(PRESENT, ("first",)), (PRESENT, ("corrected",)), (PRESENT, ("first",))]
    assert rows_of(case.join(case.features("trips:note"), spine)) == [(PRESENT, ("late",))] * 3


def test_projections_with_other_names_and_keys_in_the_order_of_the_service(case: HistoryCase) -> None:
    case.write("ratings", [Fact((1,), NOON, None, (5, "kind")), Fact((2,), NOON, None, (1, "late"))])
    case.write("trips", [Fact((1, "a"), NOON, NOON, (1.5, "n", 2))])
    keys = {"second_driver": pa.int64(), "extra": pa.string(), "customer_id": pa.string(), "first_driver": pa.int64()}
    spine = spine_of([(NOON, 2, "x", "a", 1, 1), (NOON, 1, "y", "a", 2, 9)], **keys, driver_id=pa.int64())
    selection = case.service("both")
    found = case.join(selection, spine)
    assert [output.reference for output in selection.outputs] == [
        "first:stars", "first:why", "second:stars", "trips:note", "trips:fare",
    ]  # fmt: skip
    assert rows_of(found, 0) == [(PRESENT, (5, "kind")), (PRESENT, (1, "late"))]
    assert rows_of(found, 1) == [(PRESENT, (1,)), (PRESENT, (5,))]
    assert rows_of(found, 2) == [(PRESENT, ("n", 1.5)), (NOT_FOUND, (None, None))]


def test_a_view_without_entities_has_one_row_for_all(case: HistoryCase) -> None:
    case.write("weather", [Fact((), NOON, NOON, (0.5,)), Fact((), NOON + HOUR, NOON, (1.5,))])
    case.write("ratings", [Fact((1,), NOON, None, (5, "kind"))])
    spine = spine_of([(NOON + HOUR, 1), (NOON, 2), (NOON - HOUR, 1), (NOON + 4 * HOUR, 1)], driver_id=pa.int64())
    found = case.join(case.features("weather:rain", "ratings:stars"), spine)
    assert rows_of(found) == [
        (PRESENT, (1.5,)), (PRESENT, (0.5,)), (NOT_FOUND, (None,)), (OUTSIDE_MAX_AGE, (None,)),
    ]  # fmt: skip
    assert rows_of(case.join(case.features("weather:rain"), spine, known_at=True)) == rows_of(found)


@pytest.mark.parametrize("at_once", [1, 5, 30])
def test_partitions_of_views_with_other_keys_come_together_in_order(case: HistoryCase, at_once: int) -> None:
    case.write("weather", [Fact((), NOON, NOON, (0.5,)), Fact((), NOON + HOUR, NOON, (1.5,))])
    case.write("ratings", [Fact((driver,), NOON, None, (driver, "kind")) for driver in range(0, 40, 2)])
    case.write("trips", [Fact((driver, "a"), NOON, NOON, (0.5, "n", driver)) for driver in range(0, 40, 3)])
    asked = ["weather:rain", "trips:stops", "ratings:stars", "ratings:why"]
    rows = [(NOON + driver % 3 * HOUR / 2, driver * 7 % 40, "a") for driver in range(60)]
    spine = spine_of(rows, **TRIP_KEYS)
    whole = case.join(case.features(*asked), spine)
    parts = case.join(case.features(*asked), spine, at_once=at_once)
    for view in range(3):
        assert rows_of(parts, view) == rows_of(whole, view)
    assert {status for status, _ in rows_of(parts, 2)} == {PRESENT, NOT_FOUND}
    assert pa.Table.from_batches([batch.spine for batch in parts]) == spine


def test_what_fits_is_joined_at_once_and_what_does_not_in_partitions(case: HistoryCase) -> None:
    case.write("ratings", [Fact((driver,), NOON, None, (driver, "kind")) for driver in range(30)])
    spine = spine_of([(NOON, driver) for driver in range(20)], driver_id=pa.int64())
    selection = case.features("ratings:stars")

    def waiting(at_once: int) -> list[tuple[int]]:
        with open_engine(2**30, case.folder / "spill") as engine:
            engine.execute(f"SET VARIABLE rows_at_once = {at_once}")
            found = list(point_in_time(engine, selection, TableSpine(spine), case.history))
            assert rows_of(found) == [(PRESENT, (driver,)) for driver in range(20)]
            tables = "SELECT estimated_size FROM duckdb_tables() WHERE table_name = 'joined_0'"
            return engine.execute(tables).fetchall()

    # Only the rows of the keys that are asked for are counted.
    assert waiting(40) == []
    assert waiting(39) == [(20,)]


def test_a_source_that_was_never_written_finds_nothing(case: HistoryCase) -> None:
    spine = spine_of([(NOON, 1)], driver_id=pa.int64())
    if case.kind == "parquet":
        (case.folder / "data" / "ratings.parquet").unlink(missing_ok=True)
    else:
        case.write("ratings", [])
    assert rows_of(case.join(case.features("ratings:why", "ratings:stars"), spine)) == [(NOT_FOUND, (None, None))]


def test_more_rows_than_a_batch_and_more_keys_than_are_told_to_the_store(case: HistoryCase) -> None:
    """120,001 rows: the join's pieces and the spine's are of different lengths."""
    case.write("ratings", [Fact((number,), NOON, None, (number, "w")) for number in range(0, 1000, 2)])
    rows = 120_001
    spine = pa.table(
        {
            "number": pa.array(range(rows)),
            "event_timestamp": pa.array([NOON + timedelta(seconds=1)] * rows, pa.timestamp("us", tz="UTC")),
            "driver_id": pa.array([number * 7 % 1000 for number in range(rows)]),
        }
    )
    found = case.join(case.features("ratings:stars"), spine)
    assert pa.Table.from_batches([batch.spine for batch in found]) == spine
    keys = spine["driver_id"].to_pylist()
    assert rows_of(found) == [(PRESENT, (key,)) if key % 2 == 0 else (NOT_FOUND, (None,)) for key in keys]


def test_types_that_only_postgresql_has(tmp_path: Path, postgres: Postgres) -> None:
    """Numbers with decimals, times without a zone and infinite ones, and keys of a narrower type."""
    with postgres.database() as database, opened_history("postgres", tmp_path, database) as case:
        _make_odd_trips(database)
        spine = spine_of([(NOON, 1, "a"), (NOON, 2, "b"), (NOON, 2**40, "b")], **TRIP_KEYS)
        found = rows_of(case.join(case.features(*TRIP), spine, known_at=True))
    nothing = (None, None, None)
    assert found == [(PRESENT, (1.25, "abc", 7)), (PRESENT, nothing), (NOT_FOUND, nothing)]


def _make_odd_trips(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "CREATE TABLE trips (driver_id smallint, customer_id varchar(9), paid numeric(6, 2), note char(3),"
            " stops int, ts timestamp, made timestamptz)"
        )
        connection.execute(
            "INSERT INTO trips VALUES (1, 'a', 1.25, 'abc', 7, '2026-11-22 12:00', '-infinity'),"
            " (1, 'a', 9.75, 'xyz', 8, 'infinity', now()), (2, 'b', 'NaN', NULL, NULL, '2026-11-22 12:00', 'infinity')"
        )
