"""Spines that stand in a request: decoded as pushes are, and all that is wrong is said at once."""

from __future__ import annotations

import dataclasses
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from app.errors import InvalidRequestError
from app.exports.file_spine import FileSpine
from app.exports.spine import spine_of_rows
from app.exports.spine_file import SpineFile
from app.exports.spine_needs import SpineNeeds
from tests.unit.spines import contents, errors, needs

TIME = "2026-01-02T03:04:05Z"


def refused(folder: Path, rows: Any, wanted: SpineNeeds | None = None) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_rows(rows, wanted or needs(), folder / "spine.parquet")
    assert list(folder.iterdir()) == []
    return errors(caught)


def spine(folder: Path, *rows: dict[str, Any], wanted: SpineNeeds | None = None) -> SpineFile:
    return spine_of_rows(rows, wanted or needs(), folder / "spine.parquet")


def test_values_are_decoded_by_type_and_exact(tmp_path: Path) -> None:
    found = spine(
        tmp_path,
        {"id": 2**53 + 1, "event_timestamp": TIME, "code": "AAH/", "extra": 2**53 + 1},
        {"id": None, "event_timestamp": 1_767_322_800, "code": None, "extra": None},
        wanted=needs(10, {"code": "BYTES"}, id="INT64"),
    )
    assert contents(found.path) == [
        {
            "id": 2**53 + 1,
            "event_timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "code": b"\0\1\xff",
            "extra": 2**53 + 1,
        },
        {"id": None, "event_timestamp": datetime(2026, 1, 2, 3, tzinfo=UTC), "code": None, "extra": None},
    ]


def test_columns_come_in_the_order_in_which_they_come_up(tmp_path: Path) -> None:
    found = spine(
        tmp_path,
        {"b": 1, "user_id": "u", "event_timestamp": TIME},
        {"a": "x", "event_timestamp": TIME},
    )
    assert found.schema.names == ["b", "user_id", "event_timestamp", "a"]
    assert [(row["b"], row["user_id"], row["a"]) for row in contents(found.path)] == [(1, "u", None), (None, None, "x")]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None], pa.int64()),
        ([1, 2.5], pa.float64()),
        (["a", None], pa.string()),
        ([True], pa.bool_()),
        ([None], pa.null()),
        ([[1], None, []], pa.list_(pa.int64())),
        ([{"a": 1}, {"b": "x"}], pa.struct([("a", pa.int64()), ("b", pa.string())])),
    ],
)
def test_further_columns_have_the_type_of_their_values(tmp_path: Path, values: list[Any], kind: pa.DataType) -> None:
    rows = [{"user_id": "u", "event_timestamp": TIME, "x": value} for value in values]
    assert spine(tmp_path, *rows).schema.field("x").type == kind


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([1, 2, None, "a", 3], 3),
        (["a", 1], 1),
        ([True, 1], 1),
        ([1, True], 1),
        ([1, 2**64], 1),
        ([2**53 + 1, 0.5], 1),
        ([[1], 1], 1),
        ([[1], ["a"]], 1),
        ([{"a": 1}, {"a": "x"}], 1),
        (["a", "\ud800"], 1),
        ([0.5, float("nan")], 1),
        ([[0.5], [float("inf")]], 1),
    ],
)
def test_values_that_no_column_holds_together_name_the_row(tmp_path: Path, values: list[Any], row: int) -> None:
    rows = [{"user_id": "u", "event_timestamp": TIME, "x": value} for value in values]
    assert list(refused(tmp_path, rows)) == [f"rows[{row}].x"]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "event_timestamp": TIME, "x": 1},
        {"id": "2", "event_timestamp": "soon", "x": "a"},
        {"id": 1.5},
        {"id": True, "event_timestamp": None, "": 1},
    ]
    found = refused(tmp_path, rows, needs(10, {"amount": "DOUBLE"}, id="INT64"))
    assert found["rows[1].id"] == "expected an integer, got a string"
    assert "RFC 3339" in found["rows[1].event_timestamp"]
    assert "needs its time" in found["rows[2].event_timestamp"]
    assert "needs its time" in found["rows[3].event_timestamp"]
    assert set(found) == {
        "amount",
        "column 3",
        "rows[1].id",
        "rows[2].id",
        "rows[3].id",
        "rows[1].event_timestamp",
        "rows[2].event_timestamp",
        "rows[3].event_timestamp",
        "rows[1].x",
    }


def test_columns_that_are_missing_everywhere(tmp_path: Path) -> None:
    found = refused(tmp_path, [{"user": "u"}])
    assert set(found) == {"user_id", "event_timestamp"}
    assert "there are user" in found["user_id"]


@pytest.mark.parametrize("rows", [[], [{"user_id": "u"}, 1], [None], ["a"]])
def test_what_is_no_list_of_objects(tmp_path: Path, rows: list[Any]) -> None:
    assert next(iter(refused(tmp_path, rows))).startswith("rows")


def test_names_that_cannot_be_kept_apart(tmp_path: Path) -> None:
    row = {"user_id": "u", "event_timestamp": TIME, "USER_ID": "v", "\ud800": 1, "a\0": 1}
    assert set(refused(tmp_path, [row])) == {"USER_ID", "column 3", "column 4"}


def test_too_many_rows(tmp_path: Path) -> None:
    rows = [{"user_id": "u", "event_timestamp": TIME}] * 3
    assert "at most 2 rows" in refused(tmp_path, rows, needs(2))["spine"]


def test_a_small_body_does_not_become_a_huge_table(tmp_path: Path) -> None:
    rows = [{"user_id": "u", "event_timestamp": TIME, f"x{number}": 1} for number in range(2_000)]
    wanted = needs(100_000)
    tracemalloc.start()
    try:
        found = refused(tmp_path, rows, wanted)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "send the spine as a file" in found["rows"]
    assert peak < 5 * 2**20  # a table of them has four million cells, of 8 bytes at least
    many = [{**rows[0], **{f"x{number}": 1 for number in range(999)}}]
    assert "at most 1,000 different columns, got 1,001" in refused(tmp_path, many, wanted)["rows"]
    few = [{f"x{number}": 1 for number in range(300)}, *[{"user_id": "u"}] * 7_000]
    assert "2,107,301 cells; at most 2,000,000" in refused(tmp_path, few, wanted)["rows"]


def nested(levels: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind == "list" else {"a": value}
    return value


@pytest.mark.parametrize("kind", ["list", "object"])
def test_values_that_are_nested_too_deep(tmp_path: Path, kind: str) -> None:
    row = {"user_id": "u", "event_timestamp": TIME}
    for levels in (17, 50, 100, 500):
        found = refused(tmp_path, [{**row, "x": nested(levels, kind)}])
        assert list(found) in (["x"], ["rows[0].x"])
    assert "more than 16 levels deep" in refused(tmp_path, [{**row, "x": nested(17, kind)}])["x"]
    kept = spine(tmp_path, {**row, "x": nested(16, kind)})
    with duckdb.connect() as engine:
        FileSpine(kept).attach(engine, "kept", ["x"])
        assert engine.sql("SELECT s0 FROM kept").fetchall() == [(nested(16, kind),)]


@pytest.mark.parametrize("name", ["file_row_number", "File_Row_NUMBER"])
def test_a_column_that_duckdb_has_itself(tmp_path: Path, name: str) -> None:
    assert "rename it" in refused(tmp_path, [{"user_id": "u", "event_timestamp": TIME, name: 1}])[name]


def test_faults_say_what_the_caller_calls_rows_and_limit(tmp_path: Path) -> None:
    target = tmp_path / "spine.parquet"
    with pytest.raises(InvalidRequestError) as caught:
        spine_of_rows([{"user_id": 1, "event_timestamp": TIME}], needs(), target, "spine")
    assert list(errors(caught)) == ["spine[0].user_id"]
    few = dataclasses.replace(needs(1), limit="FRESHET_SYNC_EXPORT_ROWS")
    found = refused(tmp_path, [{}, {}], few)["spine"]
    assert found == "at most 1 rows (FRESHET_SYNC_EXPORT_ROWS), got 2; order an export, which may have more"


def test_json_stays_json(tmp_path: Path) -> None:
    wanted = needs(10, {"doc": "JSON", "docs": "JSON_LIST"})
    row = {"user_id": "u", "event_timestamp": TIME, "doc": {"a": [1, "ü"]}, "docs": [1, {"b": None}]}
    found = spine(tmp_path, row, wanted=wanted)
    assert contents(found.path)[0]["doc"] == '{"a":[1,"ü"]}'
    assert contents(found.path)[0]["docs"] == ["1", '{"b":null}']


def test_a_request_type_that_no_spine_can_carry(tmp_path: Path) -> None:
    row = {"user_id": "u", "event_timestamp": TIME, "x": {}}
    assert "STRUCT" in refused(tmp_path, [row], needs(10, {"x": "STRUCT"}))["x"]
