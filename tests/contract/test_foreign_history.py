"""Joins over an offline store that is none of ours: what it is asked for, and what becomes of its faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from app.errors import ConfigurationError, FreshetError, NotServableError, StoreUnavailableError
from app.exports.engine import open_engine, wait_for
from app.exports.entities import entities_of
from app.exports.point_in_time import point_in_time
from app.exports.table_spine import TableSpine
from app.stores import foreign_offline, history_foreign
from tests import warehouse
from tests.contract.history import HOUR, NOON, HistoryCase, opened_history, rows_of, spine_of
from tests.oracle import PRESENT, Fact

DRIVER = {"driver_id": pa.int64()}
TRIP = {"driver_id": pa.int64(), "customer_id": pa.string()}


@pytest.fixture
def case(tmp_path: Path) -> Iterator[HistoryCase]:
    """A warehouse with a row of one driver, and a trip that was corrected an hour later."""
    with opened_history("warehouse", tmp_path, None) as opened:
        opened.write("ratings", [Fact((1,), NOON, None, (5, "kind"))])
        trips = [Fact((1, "a"), NOON, NOON, (1.0, "first", 1)), Fact((1, "a"), NOON, NOON + HOUR, (2.0, "second", 2))]
        opened.write("trips", trips)
        yield opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each frame that the warehouse is handed."""
    frames: list[int] = []
    answer = warehouse.run

    def run(query: str, entity_frame: Any = None) -> pa.Table:
        frames.append(0 if entity_frame is None else len(entity_frame))
        return answer(query, entity_frame)

    monkeypatch.setattr(warehouse, "run", run)
    return frames


def test_the_store_is_asked_once_for_each_time_of_an_entity_and_not_for_nobody(
    case: HistoryCase, asked: list[int]
) -> None:
    spine = spine_of([(NOON, 1), (NOON, 1), (NOON, None), (NOON + HOUR, 1), (NOON, 2)], **DRIVER)
    found = [values for _, values in rows_of(case.join(case.features("ratings:stars"), spine))]
    assert found == [(5,), (5,), (None,), (5,), (None,)]
    assert asked == [3]


def test_many_times_are_asked_for_in_pieces(
    case: HistoryCase, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_foreign, "_ROWS_PER_JOB", 4)
    spine = spine_of([(NOON, driver) for driver in range(10)], **DRIVER)
    found = rows_of(case.join(case.features("ratings:stars"), spine))
    assert [driver for driver, (status, _) in enumerate(found) if status == PRESENT] == [1]
    assert sorted(asked) == [2, 4, 4]


def test_keys_that_look_alike_put_together_go_in_different_jobs(case: HistoryCase, asked: list[int]) -> None:
    case.join(case.features("trips:fare"), spine_of([(NOON, 1, "23"), (NOON, 12, "3"), (NOON, 9, "9")], **TRIP))
    assert sorted(asked) == [1, 2]


def test_the_store_is_asked_again_where_a_row_was_created_after_the_cutoff(case: HistoryCase, asked: list[int]) -> None:
    spine = spine_of([(NOON, 1, "a")], **TRIP)
    for until, note, times in ((NOON, "first", 2), (NOON + HOUR, "second", 1)):
        found = case.join(case.features("trips:note"), spine, created_until=until)
        assert rows_of(found) == [(PRESENT, (note,))]
        assert len(asked) == times
        asked.clear()


def test_a_store_that_cannot_look_behind_such_a_row(case: HistoryCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_offline, "_leave_out_later", lambda *_: None)
    with pytest.raises(NotServableError, match="trips has rows that were created after"):
        case.join(case.features("trips:note"), spine_of([(NOON, 1, "a")], **TRIP), created_until=NOON)


def test_a_store_that_cannot_go_by_created_timestamps(case: HistoryCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse.WarehouseOfflineStore, "supports_filter_by_created_timestamp", False)
    with pytest.raises(NotServableError, match="known_at"):
        case.join(case.features("trips:note"), spine_of([(NOON, 1, "a")], **TRIP), known_at=True)
    found = case.join(case.features("ratings:why"), spine_of([(NOON, 1)], **DRIVER), known_at=True)
    assert rows_of(found) == [(PRESENT, ("kind",))]


def test_every_entity_of_a_view(case: HistoryCase, tmp_path: Path) -> None:
    """Of one whose times are mapped, and of one with a created column."""
    case.write("ratings", [Fact((7,), NOON, None, (1, "")), Fact((2,), NOON + HOUR, None, (1, ""))] * 2)

    def known(view: str, hours: int) -> list[int]:
        found = entities_of(case.catalog, view, case.history, 2**30, NOON + hours * HOUR, tmp_path)
        entities: list[int] = found["driver_id"].to_pylist()
        return entities

    assert (known("ratings", 0), known("ratings", 1), known("trips", 0)) == ([7], [2, 7], [1])


def test_a_created_timestamp_that_is_null_loses_against_one_that_is_not(case: HistoryCase) -> None:
    """And nothing else: Feast's SQL alone would leave its row out."""
    at = NOON + HOUR / 2
    facts = [Fact((1, "a"), at, None, (1.0, "unknown", 1)), Fact((1, "a"), NOON, NOON, (2.0, "older", 2))]
    spine = spine_of([(at, 1, "a")], **TRIP)
    for more, note in (([], "unknown"), ([Fact((1, "a"), at, at, (3.0, "known", 3))], "known")):
        case.write("trips", [*facts, *more])
        assert rows_of(case.join(case.features("trips:note"), spine)) == [(PRESENT, (note,))]


def test_integers_that_come_as_reals(case: HistoryCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """As through pandas, where one is missing."""
    answer = warehouse.run

    def run(*asked: Any) -> pa.Table:
        table = answer(*asked)
        name = "ratings__stars"
        return table.set_column(table.column_names.index(name), name, table[name].cast(pa.float64()))

    monkeypatch.setattr(warehouse, "run", run)
    spine = spine_of([(NOON, 1), (NOON, 2)], **DRIVER)
    assert [values for _, values in rows_of(case.join(case.features("ratings:stars"), spine))] == [(5,), (None,)]
    case.write("ratings", [Fact((1,), NOON, None, (2**53, "big"))])
    with pytest.raises(NotServableError, match="column stars as reals"):
        case.join(case.features("ratings:stars"), spine)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (RuntimeError, StoreUnavailableError),
        (ValueError, ConfigurationError),
        (NotImplementedError, NotServableError),
    ],
)
def test_what_the_store_says_reaches_the_caller_and_its_password_does_not(
    case: HistoryCase, monkeypatch: pytest.MonkeyPatch, raised: type[Exception], error: type[FreshetError]
) -> None:
    def refuse(*_: object) -> pa.Table:
        raise raised("\nno warehouse opens to 'sesame street' of sesame\n  at org.example.Door")

    monkeypatch.setattr(warehouse, "run", refuse)
    with pytest.raises(error) as caught:
        case.join(case.features("ratings:stars"), spine_of([(NOON, 1)], **DRIVER))
    assert caught.value.detail.endswith(f"view ratings: {raised.__name__}: no warehouse opens to '***' of ***")


def test_a_store_that_cannot_be_asked_for_less(case: HistoryCase, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = warehouse.run

    def run(query: str, entity_frame: Any = None) -> pa.Table:
        if "IS NULL OR" in query:
            raise RuntimeError("what is a subquery?")
        return answer(query, entity_frame)

    monkeypatch.setattr(warehouse, "run", run)
    with pytest.raises(NotServableError, match="what is a subquery"):
        case.join(case.features("trips:note"), spine_of([(NOON, 1, "a")], **TRIP), created_until=NOON)


def test_ctrl_c_ends_a_wait_for_the_store_as_it_ends_anything() -> None:
    with open_engine(2**30, Path("unused")) as engine, pytest.raises(KeyboardInterrupt):
        wait_for(engine, Interrupted())


class Interrupted(Future[Any]):
    """Ctrl-C comes when somebody waits for it."""

    @property
    def _condition(self) -> Any:
        raise KeyboardInterrupt

    @_condition.setter
    def _condition(self, _: Any) -> None:
        pass

    def cancel(self) -> bool:
        return True


def test_a_wait_for_the_store_can_be_interrupted(
    case: HistoryCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()
    answer = warehouse.run

    def hang(*asked: Any) -> pa.Table:
        begun.set()
        over.wait(60)
        return answer(*asked)

    monkeypatch.setattr(warehouse, "run", hang)
    spine = TableSpine(spine_of([(NOON, 1)], **DRIVER))
    with open_engine(2**30, tmp_path / "spill") as engine:

        def interrupt() -> None:
            begun.wait(60)
            while not over.wait(0.05):
                engine.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(duckdb.InterruptException):
                list(point_in_time(engine, case.features("ratings:stars"), spine, case.history))
            assert time.monotonic() - began < 2
        finally:
            over.set()
            thread.join()
