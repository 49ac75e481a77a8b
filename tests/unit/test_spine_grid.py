"""Generated spines: every entity at every moment of a grid, counted before any row is made."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequestError
from app.exports import spine_file, spine_grid
from app.exports.spine import Entities, spine_of_grid
from app.exports.spine_grid import TimeGrid
from tests.unit.spines import contents, errors, needs

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = TimeGrid(START, START + 7 * DAY, DAY)


def pairs(path: Path) -> list[tuple[Any, datetime]]:
    return [(row["user_id"], row["event_timestamp"]) for row in contents(path)]


@settings(max_examples=40)
@given(
    entities=st.lists(st.text("aü", max_size=2) | st.none(), min_size=1, max_size=5),
    every=st.timedeltas(timedelta(microseconds=1), timedelta(hours=5)),
    times=st.integers(1, 7),
    beyond=st.floats(0, 0.99),
    at_once=st.integers(1, 5),
    batch_rows=st.integers(1, 3),
)
def test_entities_in_their_order_each_with_its_times(
    tmp_path_factory: pytest.TempPathFactory,
    entities: list[str | None],
    every: timedelta,
    times: int,
    beyond: float,
    at_once: int,
    batch_rows: int,
) -> None:
    grid = TimeGrid(START, START + (times - 1) * every + min(beyond * every, every - timedelta(microseconds=1)), every)
    wanted = list(itertools.product(entities, [START + number * every for number in range(times)]))
    table = pa.table({"user_id": pa.array(entities, pa.string())})
    kinds: list[Entities] = [
        {"user_id": entities},
        [{"user_id": entity} for entity in entities],
        table,
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=batch_rows)),
    ]
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spine_file, "ROWS_AT_ONCE", at_once)
        patch.setattr(spine_grid, "ROWS_AT_ONCE", at_once)
        found = [spine_of_grid(kind, grid, needs(), folder / f"{at}.parquet") for at, kind in enumerate(kinds)]
    for spine in found:
        assert pairs(spine.path) == wanted
        assert spine.schema.names == ["user_id", "event_timestamp"]
    assert len({spine.sha256 for spine in found}) == 1


def test_the_end_is_included_where_it_is_on_the_grid(tmp_path: Path) -> None:
    for end, times in ((START, 1), (START + DAY, 2), (START + DAY - timedelta(microseconds=1), 1)):
        found = spine_of_grid({"user_id": ["u"]}, TimeGrid(START, end, DAY), needs(), tmp_path / "s")
        assert found.rows == times


def test_too_many_rows_are_refused_before_any_is_made(tmp_path: Path) -> None:
    keys = {"user_id": ["a", "b"]}
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_grid(keys, WEEK, needs(15), tmp_path / "s")
    assert "2 entities at 8 times are 16 rows; at most 15 (FRESHET_MAX_SPINE_ROWS)" in errors(caught)["spine"]
    assert spine_of_grid(keys, WEEK, needs(16), tmp_path / "s").rows == 16
    # Never so many that the look would take long, or overflow.
    ages = TimeGrid(datetime(1800, 1, 1, tzinfo=UTC), datetime(8999, 1, 1, tzinfo=UTC), timedelta(microseconds=1))
    for entities in (keys, [{"user_id": "a"}], pa.table(keys)):
        with pytest.raises(InvalidRequestError, match="too many"):
            spine_of_grid(entities, ages, needs(), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_reader_of_too_many_entities_leaves_nothing_behind(tmp_path: Path) -> None:
    read = []

    def batches() -> Any:
        for number in range(100):
            read.append(number)
            yield pa.record_batch({"user_id": [f"u{number}"]})

    reader = pa.RecordBatchReader.from_batches(pa.schema([("user_id", pa.string())]), batches())
    with pytest.raises(InvalidRequestError, match="too many"):
        spine_of_grid(reader, WEEK, needs(80), tmp_path / "s")
    assert len(read) <= 12
    assert list(tmp_path.iterdir()) == []


def test_further_columns_of_entities_go_with_them(tmp_path: Path) -> None:
    entities = [{"user_id": "a", "segment": 1}, {"segment": 2, "user_id": "b"}]
    found = spine_of_grid(entities, TimeGrid(START, START + DAY, DAY), needs(), tmp_path / "s")
    assert [(row["user_id"], row["segment"]) for row in contents(found.path)] == [("a", 1)] * 2 + [("b", 2)] * 2


def test_keys_of_a_view_become_what_the_registry_declares(tmp_path: Path) -> None:
    keys = pa.table({"id": pa.array([1.0, None])})
    found = spine_of_grid(keys, TimeGrid(START, START, DAY), needs(id="INT64"), tmp_path / "s")
    assert [row["id"] for row in contents(found.path)] == [1, None]


@pytest.mark.parametrize(
    "entities",
    [{f"x{number}": ["u"] for number in range(1_001)}, [{f"x{number}": "u"} for number in range(1_001)]],
)
def test_entities_of_too_many_columns(tmp_path: Path, entities: Entities) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_grid(entities, WEEK, needs(100_000), tmp_path / "s")
    assert "at most 1,000 different columns, got 1,001" in errors(caught)["entities"]


def test_features_of_no_entity_need_times_alone(tmp_path: Path) -> None:
    none = needs()
    found = spine_of_grid({}, WEEK, type(none)({}, {}, 8), tmp_path / "s")
    assert [row["event_timestamp"] for row in contents(found.path)] == [START + number * DAY for number in range(8)]
    with pytest.raises(InvalidRequestError, match="too many"):
        spine_of_grid({}, WEEK, type(none)({}, {}, 7), tmp_path / "t")


@pytest.mark.parametrize(
    ("entities", "where"),
    [
        ({"user_id": ["a", 1]}, "entities.user_id[1]"),
        ([{"user_id": "a"}, {"user_id": 1}], "entities[1].user_id"),
        (pa.table({"user_id": ["a", "b\0"]}), "entities[1].user_id"),
        ({"user_id": "abc"}, "entities.user_id"),
        ({"user_id": ["a"], "x": []}, "entities"),
        ({"user_id": []}, "entities"),
        ({}, "entities"),
        ([], "entities"),
        (["a"], "entities[0]"),
        ({"x": ["a"]}, "user_id"),
        ({"user_id": ["a"], "event_timestamp": [1]}, "event_timestamp"),
        (pa.table({"user_id": [1]}), "user_id"),
    ],
)
def test_faulty_entities_are_named(tmp_path: Path, entities: Entities, where: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_grid(entities, WEEK, needs(), tmp_path / "s")
    assert list(errors(caught)) == [where]
    assert list(tmp_path.iterdir()) == []


def test_a_view_without_entities_makes_a_spine_without_rows(tmp_path: Path) -> None:
    found = spine_of_grid(pa.table({"user_id": pa.array([], pa.string())}), WEEK, needs(), tmp_path / "s")
    assert (found.rows, found.schema.names) == (0, ["user_id", "event_timestamp"])


def test_times_are_read_as_everywhere() -> None:
    grid = TimeGrid.parse("2026-01-01", 1_767_830_400, "1d")
    assert grid == WEEK
    assert len(grid) == 8
    assert TimeGrid.parse("2026-01-01T09:00:00+09:00", "2026-01-01", "PT5M").start == START


@pytest.mark.parametrize(
    ("start", "end", "every", "where"),
    [
        ("soon", None, "often", {"start", "end", "every"}),
        ("2026-01-02", "2026-01-01", "1d", {"end"}),
        ("2026-01-02", "2026-01-01", 0, {"end", "every"}),
        ("2026-01-01", "2026-01-02", "-1d", {"every"}),
        ("2026-01-01", "2026-01-02", None, {"every"}),
        ("2026-01-01", "2026-01-02", 1e-9, {"every"}),
    ],
)
def test_faulty_times_are_named(start: Any, end: Any, every: Any, where: set[str]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        TimeGrid.parse(start, end, every)
    assert set(errors(caught)) == where
