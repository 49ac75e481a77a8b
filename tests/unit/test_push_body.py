"""The wire forms of a push: the same rows as JSON, as lines and as Arrow are the same push; what is none is a fault."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.push_body import PushRequest, idempotency_key, push_decoder
from app.domain import PushTarget
from app.errors import FreshetError, InvalidRequestError, NotJsonError, UnsupportedMediaTypeError
from tests.unit.push_forms import ARROW, JSON, NDJSON, checked, decode, fault_of, stream


def test_a_json_object_says_rows_and_target() -> None:
    push = decode(b'{"rows": [{"user": "u"}, 7], "to": "offline"}')
    assert (push.rows, push.to, push.atomic) == ([{"user": "u"}, 7], PushTarget.OFFLINE, False)
    assert decode(b'{"rows": [1]}', "application/json; charset=utf-8", "atomic=true").atomic
    assert decode(b'{"rows": [1]}', "").to is PushTarget.ONLINE_AND_OFFLINE


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "rows"),
        (b'{"rows": []}', "rows"),
        (b'{"rows": {}}', "rows"),
        (b'{"rows": [1], "to": "nowhere"}', "to"),
        (b'{"rows": [1], "watermark": "soon"}', "watermark"),
        (b"[]", "body"),
        (b'{"rows": [' + b",".join([b"1"] * 101) + b"]}", "rows"),
    ],
)
def test_an_object_of_another_form_names_the_field(body: bytes, field: str) -> None:
    assert fault_of(InvalidRequestError, body) == field


def test_numbers_that_are_no_json_are_the_rows_fault_alone() -> None:
    for text in (b"NaN", b"1e999", b"-Infinity"):
        push = decode(b'{"rows": [{"user": "u", "mean": ' + text + b"}, {}]}")
        assert len(push.rows) == 2


@pytest.mark.parametrize(
    ("query", "field"), [("atomic=perhaps", "atomic"), ("to=online", "to"), ("watermark=1", "watermark"), ("x", "x")]
)
def test_a_query_that_says_something_else_is_refused_by_name(query: str, field: str) -> None:
    assert fault_of(InvalidRequestError, b'{"rows": [1]}', JSON, query) == field


def test_a_compressed_body_is_told_apart_from_a_faulty_one() -> None:
    for encoding in (b"gzip", b"BR"):
        with pytest.raises(UnsupportedMediaTypeError, match="uncompressed"):
            push_decoder({"headers": [(b"content-encoding", encoding)], "query_string": b""})
    for encoding in (b"", b"Identity"):
        push_decoder({"headers": [(b"content-encoding", encoding)], "query_string": b""})


def test_very_many_empty_lines_are_not_looked_at() -> None:
    assert fault_of(InvalidRequestError, b'{"user": "u"}' + b"\n" * 10_000, NDJSON) == "body"
    assert len(decode(b'{"user": "u"}\n\n' * 50, NDJSON).rows) == 50


def test_lines_are_rows_and_the_query_says_the_rest() -> None:
    body = b'{"user": "u"}\r\n\n 7 \n{"user": 18446744073709551617}\n'
    push = decode(body, NDJSON, "to=online&atomic=1")
    assert push == PushRequest([{"user": "u"}, 7, {"user": 2**64 + 1}], PushTarget.ONLINE, True, None)


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        (b"1\n\n{", NotJsonError, "line 3"),
        (b'{"a": 1} {"b": 2}', NotJsonError, "line 1"),
        (b'{\n"a": 1}', NotJsonError, "line 1"),
        (b"\n \n", InvalidRequestError, "rows"),
        (b"", InvalidRequestError, "rows"),
        (b"1\n" * 101, InvalidRequestError, "rows"),
        (b"[" * 100_000, NotJsonError, "line 1"),
    ],
)
def test_lines_that_are_no_rows_are_named(body: bytes, error: type[FreshetError], field: str) -> None:
    assert fault_of(error, body, NDJSON) == field


@pytest.mark.parametrize("said", [1767225600, 1767225600.0, "2026-01-01T00:00:00Z", "2026-01-01T09:00:00+09:00"])
def test_a_watermark_may_come_without_rows(said: Any) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert decode(json.dumps({"rows": [], "watermark": said}).encode()).watermark == moment
    push = decode(b"", NDJSON, urlencode({"watermark": "2026-01-01T09:00:00+09:00"}))
    assert (push.rows, push.watermark) == ([], moment)


def test_other_content_types_are_refused() -> None:
    for name in ("text/csv", "application/x-www-form-urlencoded", "application/jsonl"):
        fault_of(UnsupportedMediaTypeError, b'{"rows": [1]}', name)


def test_an_idempotency_key_is_what_a_header_can_say() -> None:
    def key(*values: bytes) -> str | None:
        return idempotency_key({"headers": [(b"idempotency-key", value) for value in values]})

    assert key() is None
    assert key(b" a key ") == "a key"
    assert key(b"k" * 255) == "k" * 255
    for refused in (b"", b" ", b"k" * 256, b"\xe9", b"a\tb"):
        with pytest.raises(InvalidRequestError) as caught:
            key(refused)
        assert [fault.field for fault in caught.value.errors] == ["Idempotency-Key"]


_BOUND = st.integers(-(2**63), 2**63 - 1)
_TIMES = st.datetimes(datetime(1700, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_COLUMNS: dict[str, tuple[st.SearchStrategy[Any], pa.DataType]] = {
    "user": (st.text(max_size=4), pa.string()),
    "count": (_BOUND, pa.int64()),
    "mean": (st.floats() | st.integers(-100, 100).map(float), pa.float64()),
    "flag": (st.booleans(), pa.bool_()),
    "seen": (_TIMES, pa.timestamp("us", "UTC")),
    "blob": (st.binary(max_size=4), pa.binary()),
    "document": (st.recursive(st.none() | _BOUND | st.text(max_size=3), st.lists, max_leaves=4), pa.string()),
    "tags": (st.lists(st.text(max_size=2), max_size=2), pa.list_(pa.string())),
    "event_timestamp": (_TIMES, pa.timestamp("us", "UTC")),
    "created_timestamp": (_TIMES, pa.timestamp("us")),
    "other": (st.integers(0, 3), pa.int64()),
}
_WRONG = (st.booleans(), pa.bool_())


def to_json(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def to_arrow(name: str, value: Any) -> Any:
    return json.dumps(value) if name == "document" and value is not None else value


@given(data=st.data())
def test_the_same_rows_in_three_forms_are_the_same_push(data: st.DataObject) -> None:
    """Valid rows, and the reasons of the others, whatever the form."""
    names = [name for name in _COLUMNS if name not in ("other",)]
    names = data.draw(st.sampled_from([names, names, [*names, "other"], names[1:], names[:-2]]))
    odd = data.draw(st.sampled_from([None, None, "count", "seen", "event_timestamp", "tags"]))
    kinds = {name: _WRONG if name == odd else _COLUMNS[name] for name in names}
    count = data.draw(st.integers(1, 6))
    given_columns = {
        name: data.draw(st.lists(st.none() | values, min_size=count, max_size=count))
        for name, (values, _) in kinds.items()
    }
    rows = [{name: to_json(name, given_columns[name][row]) for name in names} for row in range(count)]
    table = pa.table(
        {
            name: pa.array([to_arrow(name, value) for value in given_columns[name]], kind)
            for name, (_, kind) in kinds.items()
        }
    )
    text = json.dumps({"rows": rows})
    lines = "\n".join(map(json.dumps, rows))
    wanted = checked(decode(text.encode()))
    assert checked(decode(lines.encode(), NDJSON)) == wanted
    assert checked(decode(stream(table), ARROW)) == wanted


def test_msgspec_and_python_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"rows": [{"user": "ü", "count": 2**63, "mean": 1e300, "tags": [None, True]}]}).encode()
    assert decode(body).rows == json.loads(body)["rows"] == msgspec.json.decode(body)["rows"]
