"""Spines in CSV: keys keep their zeros and digits, and no guess at a type damages a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from app.errors import InvalidRequestError
from app.exports import spine_csv
from app.exports.spine import spine_of_file
from app.exports.spine_file import SpineFile
from tests.unit.spines import contents, errors, needs

TIME = "2026-01-02T03:04:05Z"


def spine(folder: Path, text: str, /, **keys: str) -> SpineFile:
    source = folder / "x.csv"
    source.write_text(text, encoding="utf-8", newline="")
    return spine_of_file(source, needs(100_000, **keys), folder / "spine.parquet")


def extra(folder: Path, *values: str) -> tuple[pa.DataType, list[Any]]:
    """The type and the values of a further column with these fields."""
    lines = [f"u,{TIME},{value}" for value in values]
    found = spine(folder, "\n".join(["user_id,event_timestamp,x", *lines, ""]))
    return found.schema.field("x").type, [row["x"] for row in contents(found.path)]


def test_text_keys_are_kept_letter_by_letter(tmp_path: Path) -> None:
    keys = ["007", "NA", "null", "nan", "1e5", "true", " a ", "ü", "2026-01-02"]
    found = spine(tmp_path, "user_id,event_timestamp\n" + "".join(f"{key},{TIME}\n" for key in keys))
    assert [row["user_id"] for row in contents(found.path)] == keys


def test_only_an_empty_field_without_quotes_is_null(tmp_path: Path) -> None:
    found = spine(tmp_path, f'user_id,event_timestamp\n,{TIME}\n"",{TIME}\n')
    assert [row["user_id"] for row in contents(found.path)] == [None, ""]


def test_a_value_of_many_lines_may_lie_on_the_border_of_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spine_csv, "_BLOCK", 64)
    keys = [f"{number}\n" * 3 for number in range(50)]
    found = spine(tmp_path, "user_id,event_timestamp\n" + "".join(f'"{key}",{TIME}\n' for key in keys))
    assert [row["user_id"] for row in contents(found.path)] == keys


def test_quotes_and_line_ends_in_values(tmp_path: Path) -> None:
    found = spine(tmp_path, f'\ufeffuser_id,"event_timestamp","a, ""b"""\r\n"x\ny",{TIME},"1,5"\r\n')
    assert found.schema.names == ["user_id", "event_timestamp", 'a, "b"']
    assert contents(found.path)[0]["user_id"] == "x\ny"


@pytest.mark.parametrize(
    ("dtype", "fields", "wanted"),
    [
        ("INT64", ["9223372036854775807", "-9223372036854775808", "007", ""], [2**63 - 1, -(2**63), 7, None]),
        ("INT64", ["1.0", "-2.00", "+3", "1e3", ""], [1, -2, 3, 1000, None]),
        ("INT32", ["5"], [5]),
        ("DOUBLE", ["0.1", "1e3", "-5", "", "nan"], [0.1, 1000.0, -5.0, None, None]),
        ("FLOAT", ["0.5"], [0.5]),
        ("BOOL", ["true", "False", "", "TRUE"], [True, False, None, True]),
        ("BYTES", ["AAH/", ""], [b"\0\1\xff", None]),
        ("UUID", ["A987FBC9-4BED-3078-CF07-9141BA07C9F3"], ["a987fbc9-4bed-3078-cf07-9141ba07c9f3"]),
        ("DECIMAL", ["1.50"], ["1.50"]),
        ("INT64_LIST", ['"[1, 9007199254740993]"', ""], [[1, 2**53 + 1], None]),
        ("JSON", ['"{""a"": 1}"'], ['{"a":1}']),
    ],
)
def test_declared_columns_are_read_by_their_type(
    tmp_path: Path, dtype: str, fields: list[str], wanted: list[Any]
) -> None:
    found = spine(tmp_path, "key,event_timestamp\n" + "".join(f"{field},{TIME}\n" for field in fields), key=dtype)
    assert [row["key"] for row in contents(found.path)] == wanted


@pytest.mark.parametrize(
    ("dtype", "field", "message"),
    [
        ("INT64", "1.5", "fraction"),
        ("INT64", "9223372036854775808", "out of range"),
        ("INT64", "1e999", "out of range"),
        ("INT64", "0x10", "number"),
        ("INT64", "1_000", "number"),
        ("INT64", "abc", "number"),
        ("INT64", "９", "number"),
        ("DOUBLE", "inf", "number"),
        ("DOUBLE", "1e999", "finite"),
        ("DOUBLE", "0x10", "number"),
        ("BOOL", "1", "true or false"),
        ("BYTES", "ü", "base64"),
        ("UUID", "x", "UUID"),
        ("INT64_LIST", "[1", "JSON"),
        ("INT64_LIST", '"[""a""]"', "integer"),
    ],
)
def test_what_a_declared_column_cannot_hold_names_the_row(tmp_path: Path, dtype: str, field: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, f"key,event_timestamp\n,{TIME}\n{field},{TIME}\n", key=dtype)
    assert message in errors(caught)["rows[1].key"]


@pytest.mark.parametrize(
    ("fields", "kind", "wanted"),
    [
        (["1", "", "-2"], pa.int64(), [1, None, -2]),
        (["1", "1.5", ""], pa.float64(), [1.0, 1.5, None]),
        (["true", "False"], pa.bool_(), [True, False]),
        (["1e5", "nan"], pa.float64(), [100_000.0, float("nan")]),
        (["", ""], pa.null(), [None, None]),
        (["007", "1"], pa.string(), ["007", "1"]),
        (["00.5"], pa.string(), ["00.5"]),
        (["9223372036854775808"], pa.string(), ["9223372036854775808"]),
        (["9007199254740993", "0.5"], pa.string(), ["9007199254740993", "0.5"]),
        (["-9007199254740993", "0.5"], pa.string(), ["-9007199254740993", "0.5"]),
        (["+5"], pa.string(), ["+5"]),
        (["-9223372036854775808", "0.5"], pa.string(), ["-9223372036854775808", "0.5"]),
        (["0x10"], pa.string(), ["0x10"]),
        (["1", "true"], pa.string(), ["1", "true"]),
        (["2026-01-02"], pa.string(), ["2026-01-02"]),
        (["a", "1"], pa.string(), ["a", "1"]),
        (["."], pa.string(), ["."]),
        (["-"], pa.string(), ["-"]),
        (["e5"], pa.string(), ["e5"]),
    ],
)
def test_further_columns_get_the_type_that_all_their_values_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: list[str], kind: pa.DataType, wanted: list[Any]
) -> None:
    found, values = extra(tmp_path, *fields)
    assert found == kind
    assert repr(values) == repr(wanted)
    # The same where each batch has a row or two only, so that the first one tells little.
    monkeypatch.setattr(spine_csv, "_BLOCK", 64)
    assert repr(extra(tmp_path, *fields)) == repr((found, values))
    assert repr(extra(tmp_path, *["", *fields])) == repr((found, [None, *values]))


def test_a_value_far_down_that_contradicts_the_first_batch(tmp_path: Path) -> None:
    rows = 60_000
    values = ["1"] * (rows - 1) + ["1.5"]
    kind, found = extra(tmp_path, *values)
    assert kind == pa.float64()
    assert found == [1.0] * (rows - 1) + [1.5]


def test_a_row_with_too_few_fields_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, f"user_id,event_timestamp\na,{TIME}\nb\n")
    assert "Expected 2 columns, got 1" in errors(caught)["spine"]


def test_another_separator_shows_in_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, f"user_id;event_timestamp\na;{TIME}\n")
    assert "there are user_id;event_timestamp" in errors(caught)["user_id"]


def test_columns_without_a_name_and_columns_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        spine(tmp_path, f",user_id,event_timestamp,x,x\n0,a,{TIME},1,a\n")
    found = errors(caught)
    assert set(found) == {"column 0", "x"}
