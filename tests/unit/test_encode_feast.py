"""Values, statuses and times in the shape of Feast's feature server, compared with Feast's own functions."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from feast.feature_server_utils import _timestamp_to_str, _value_to_native
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Projection
from app.serving.encode_feast import encode_answer, encode_column, encode_vectors
from app.serving.plan import ServingPlan
from app.serving.planner import compile_features, compile_service
from app.serving.reader import OnlineResult
from app.stores.protos import decode
from tests.differential.values import is_finite, of_type
from tests.unit.catalogs import FakeStore, catalog, profile, service

SCALARS = ["INT32", "INT64", "FLOAT", "DOUBLE", "BOOL", "STRING", "BYTES", "UNIX_TIMESTAMP", "UUID", "DECIMAL", "MAP"]
LISTS = ["INT32_LIST", "INT64_LIST", "FLOAT_LIST", "DOUBLE_LIST", "BOOL_LIST", "STRING_LIST", "BYTES_LIST"]
NO_TIME = -(2**63)
"""What Feast writes for a timestamp that is none."""


def expected(value: Any) -> Any:
    """What Feast's server says, but that NaN and the infinities are null."""
    if isinstance(value, list):
        return [expected(entry) for entry in value]
    if isinstance(value, dict):
        return {name: expected(entry) for name, entry in value.items()}
    return value if is_finite(value) else None


def without_words(value: Any) -> Any:
    """The same where Feast has made words of such numbers."""
    if isinstance(value, list):
        return [without_words(entry) for entry in value]
    if isinstance(value, dict):
        return {name: without_words(entry) for name, entry in value.items()}
    return None if value in ("NaN", "Infinity", "-Infinity") else value


def column(values: list[Any], dtype: str) -> Any:
    return json.loads(b"[" + encode_column(values, dtype) + b"]")


@pytest.mark.parametrize("dtype", [*SCALARS, *LISTS])
@given(data=st.data())
def test_every_value_is_written_as_feast_writes_it(dtype: str, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(of_type(dtype), min_size=1, max_size=3))
    protos = [python_values_to_proto_values([value], ValueType[dtype])[0] for value in drawn]

    ours = column([decode(proto) for proto in protos], dtype)

    theirs = [expected(_value_to_native(proto)) for proto in protos]
    if dtype == "MAP":
        # A text in a map may be such a word itself.
        ours = [without_words(value) for value in ours]
    if dtype.startswith(("FLOAT", "DOUBLE", "MAP")):
        theirs = [without_words(value) for value in theirs]
    if dtype == "UNIX_TIMESTAMP":
        theirs = [None if value == NO_TIME else value for value in theirs]
    assert ours == theirs
    assert [type(value) for value in ours] == [type(value) for value in theirs]


@given(texts=st.lists(of_type("JSON"), min_size=1, max_size=3))
def test_json_is_written_as_text_that_says_the_same(texts: list[Any]) -> None:
    protos = [python_values_to_proto_values([text], ValueType.JSON)[0] for text in texts]
    ours = column([decode(proto) for proto in protos], "JSON")
    for text, proto in zip(ours, protos, strict=True):
        said = expected(json.loads(proto.json_val)) if proto.json_val else None
        # A null is no text, or the text "null", as NaN is.
        assert text is None or isinstance(text, str)
        assert (text and json.loads(text)) == said


def test_what_a_users_function_returns_for_a_float_has_a_decimal_point() -> None:
    assert encode_column([1, None, 2.5, True], "DOUBLE") == b"1.0,null,2.5,true"
    assert encode_column([1, None], "INT64") == b"1,null"


@given(moments=st.lists(st.none() | st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1)), min_size=1))  # noqa: DTZ001
def test_times_have_the_digits_that_feast_gives_them(moments: list[datetime | None]) -> None:
    # The digits matter: none, three or six of them.
    moments += [datetime(2026, 1, 2, 3, 4, 5, microsecond) for microsecond in (0, 120_000, 1, 1000)]  # noqa: DTZ001
    stamps = []
    for moment in moments:
        stamp = Timestamp()
        if moment is not None:
            stamp.FromDatetime(moment)
        stamps.append(_timestamp_to_str(stamp))
    microseconds = [
        None if moment is None else (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
        for moment in moments
    ]
    plan = compile_features(catalog(), ["profile:age"], FakeStore())
    part = encode_vectors(plan, OnlineResult(len(moments), [[1] * len(moments)], {}, [microseconds], 0, []))
    assert json.loads(b"[" + part.timestamps[0] + b"]") == stamps


def answer(plan: ServingPlan, results: list[OnlineResult], **options: bool) -> dict[str, Any]:
    keys = {"user_id": [f"u{row}" for row in range(sum(result.rows for result in results))]}
    parts = [encode_vectors(plan, result) for result in results]
    flags = {"full_names": False, "with_versions": False, **options}
    found: dict[str, Any] = json.loads(encode_answer(plan, keys, parts, **flags))
    return found


def test_parts_make_one_answer_with_the_join_keys_first() -> None:
    plan = compile_features(catalog(), ["scaled_age:scaled", "profile:name", "profile:age"], FakeStore())
    first = OnlineResult(2, [[1.0, None], ["a", None], [1, None]], {1: ["NOT_FOUND"] * 3}, [[0, None]], 0, [])
    second = OnlineResult(1, [[2.0], [None], [2]], {0: ["PRESENT", "NULL_VALUE", "PRESENT"]}, [[1_500_000]], 0, [])
    none = "1970-01-01T00:00:00Z"
    times = [none, none, "1970-01-01T00:00:01.500Z"]
    assert answer(plan, [first, second]) == {
        "results": [
            {"values": ["u0", "u1", "u2"], "statuses": ["PRESENT"] * 3, "event_timestamps": [none] * 3},
            {
                "values": [1.0, None, 2.0],
                "statuses": ["PRESENT", "NOT_FOUND", "PRESENT"],
                "event_timestamps": [none] * 3,
            },
            {
                "values": ["a", None, None],
                "statuses": ["PRESENT", "NOT_FOUND", "NULL_VALUE"],
                "event_timestamps": times,
            },
            {"values": [1, None, 2], "statuses": ["PRESENT", "NOT_FOUND", "PRESENT"], "event_timestamps": times},
        ],
        "metadata": {"feature_names": ["user_id", "scaled", "name", "age"]},
    }


def test_full_names_and_versions() -> None:
    numbered = dataclasses.replace(profile, version=3)
    renamed = service("s", Projection("profile", ("age",), alias="people"), Projection("visits", ("count",)))
    base = catalog(renamed)
    plan = compile_service(dataclasses.replace(base, views={**base.views, "profile": numbered}), renamed, FakeStore())
    metadata = answer(plan, [OnlineResult(1, [[1], [2]], {}, [[0], [0]], 0, [])], full_names=True, with_versions=True)[
        "metadata"
    ]
    assert metadata["feature_names"] == ["user_id", "people__age", "visits__count"]
    # protobuf leaves out a number that is 0.
    assert metadata["feature_view_metadata"] == [{"name": "people", "version": 3}, {"name": "visits"}]
