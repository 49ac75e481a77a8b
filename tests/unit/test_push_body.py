"""The wire forms of a push: the same rows as JSON, as lines and as Arrow are the same push; what is none is a fault."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.push_body import PushLimits, PushRequest, push_decoder
from app.domain import FieldSpec, PushTarget, ViewSpec, to_microseconds
from app.errors import FreshetError, InvalidRequestError, NotArrowError, NotJsonError, UnsupportedMediaTypeError
from app.pushing.checked import CheckedRows
from app.pushing.schema import PushedColumns, PushSchema

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIMITS = PushLimits(rows=100, body_bytes=100_000)
JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"

view = ViewSpec(
    "view",
    (FieldSpec("user", "STRING"),),
    (
        FieldSpec("count", "INT64"),
        FieldSpec("mean", "DOUBLE"),
        FieldSpec("flag", "BOOL"),
        FieldSpec("seen", "UNIX_TIMESTAMP"),
        FieldSpec("blob", "BYTES"),
        FieldSpec("document", "JSON"),
        FieldSpec("tags", "STRING_LIST"),
    ),
    None,
)
schema = PushSchema("events", [view], timedelta(minutes=5))


def decode(body: bytes, content_type: str = JSON, query: str = "", key: str = "") -> PushRequest:
    pairs = {"content-type": content_type, "idempotency-key": key}
    scope = {"headers": [(name.encode(), value.encode()) for name, value in pairs.items() if value]}
    return push_decoder({**scope, "query_string": query.encode()})(body, LIMITS)


def fault_of(error: type[FreshetError], *arguments: Any) -> str:
    with pytest.raises(error) as caught:
        decode(*arguments)
    return caught.value.errors[0].field if caught.value.errors else ""


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=3)
    return bytes(sink.getvalue().to_pybytes())


def checked(request: PushRequest) -> Any:
    found = CheckedRows.joined(list(schema.check(request.rows, to_microseconds(NOW))))
    columns = {name: list(values) for name, values in found.batch.columns.items()} if found.positions else {}
    reasons = [(row.position, row.reason) for row in found.rejected]
    return repr((list(found.positions), columns, list(found.batch.event), list(found.batch.created), reasons))


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
        (b'{"rows": [1], "watermark": "2026-01-01T00:00:00Z"}', "watermark"),
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


def test_other_content_types_and_idempotency_keys_are_refused() -> None:
    for name in ("text/csv", "application/x-www-form-urlencoded", "application/jsonl"):
        fault_of(UnsupportedMediaTypeError, b'{"rows": [1]}', name)
    assert fault_of(InvalidRequestError, b'{"rows": [1]}', JSON, "", "k") == "Idempotency-Key"


def columns(table: pa.Table, **options: Any) -> dict[str, list[Any]]:
    rows = decode(stream(table, **options), ARROW).rows
    assert isinstance(rows, PushedColumns)
    return {name: list(values) for name, values in rows.columns.items()}


MOMENT = to_microseconds(NOW)


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([2**53 + 1, None, -(2**63)]), [2**53 + 1, None, -(2**63)]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([1, 2], pa.int8()), [1, 2]),
        (pa.array([0.5, None], pa.float16()), [0.5, None]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None, "b", "a"]).dictionary_encode(), ["a", None, "b", "a"]),
        (pa.array([b"\0", None], pa.large_binary()), [b"\0", None]),
        (pa.array([["a"], None], pa.large_list(pa.string())), [["a"], None]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), [{"k": 1}, None]),
        (pa.array([MOMENT * 1000 + 999, None], pa.timestamp("ns")), [MOMENT, None]),
        (pa.array([-1], pa.timestamp("ns", "UTC")), [-1]),
        (pa.array([MOMENT], pa.timestamp("us", "Asia/Tokyo")), [MOMENT]),
        (pa.array([MOMENT // 1000], pa.timestamp("ms")), [MOMENT]),
        (pa.array([2**60], pa.timestamp("s")), [2**60 * 10**6]),
        (pa.array([None, None]), [None, None]),
        (pa.array([[], []]), [[], []]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_arrow_of_many_types_is_exact(array: pa.Array, values: list[Any]) -> None:
    assert columns(pa.table({"x": array})) == {"x": values}


def test_a_list_of_times_is_a_list_of_times() -> None:
    times = pa.array([[MOMENT * 1000 + 1]], pa.list_(pa.timestamp("ns")))
    (((found,),),) = columns(pa.table({"x": times})).values()
    assert type(found) is datetime
    assert to_microseconds(found) == MOMENT


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time64("us")),
        pa.array(["a"], pa.string_view()),
        pa.array([{"t": 1}], pa.struct([("t", pa.timestamp("s"))])),
    ],
    ids=lambda array: str(array.type),
)
def test_arrow_of_a_type_that_no_feature_has_names_the_column(array: pa.Array) -> None:
    assert fault_of(InvalidRequestError, stream(pa.table({"x": array})), ARROW) == "x"


def test_two_columns_of_one_name_are_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert fault_of(InvalidRequestError, stream(table), ARROW) == "x"


def test_more_rows_than_the_limit_are_refused_before_they_are_converted() -> None:
    assert fault_of(InvalidRequestError, stream(pa.table({"x": range(101)})), ARROW) == "rows"
    assert fault_of(InvalidRequestError, stream(pa.table({"x": []})), ARROW) == "rows"


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_little_that_stands_for_much_is_refused(codec: str) -> None:
    """A stream of a few kilobytes must not become gigabytes in memory."""
    zeros = pa.table({"x": pa.array(["\0" * 1_000_000])})
    assert len(stream(zeros, compression=codec)) < 10_000
    fault_of(NotArrowError, stream(zeros, compression=codec), ARROW)
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 50, pa.int32()), pa.array(["w" * 10_000]))
    fault_of(NotArrowError, stream(pa.table({"x": words})), ARROW)
    coded = pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["\0" * 1_000_000]))
    fault_of(NotArrowError, stream(pa.table({"x": coded}), compression=codec), ARROW)
    nulls = pa.ListArray.from_arrays(pa.array([0, 10**9], pa.int32()), pa.nulls(10**9))
    fault_of(NotArrowError, stream(pa.table({"x": nulls})), ARROW)
    wide = pa.FixedSizeListArray.from_arrays(pa.nulls(10**9), 10**9)
    fault_of(NotArrowError, stream(pa.table({"x": pa.StructArray.from_arrays([wide], ["y"])})), ARROW)


GOOD = stream(
    pa.table(
        {
            "user": pa.array(["u", "v", None, "w"]),
            "count": pa.array([1, None, 3, 4]),
            "word": pa.array(["a", "b", "a", "a"]).dictionary_encode(),
            "tags": pa.array([["a", "b"], None, [], ["c"]]),
            "seen": pa.array([1, None, 3, 4], pa.timestamp("ns", "UTC")),
        }
    )
)


@pytest.mark.parametrize("body", [b"", b"{}", b"ARROW1\0\0", GOOD[:100], GOOD[2:], GOOD[:-200], b"\xff" * 64])
def test_what_is_no_stream_is_not_arrow(body: bytes) -> None:
    assert fault_of(NotArrowError, body, ARROW) == "body"


@settings(deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.none() | st.integers(0, len(GOOD)))
def test_a_damaged_stream_is_a_fault_or_other_rows_but_never_a_crash(place: int, byte: int, cut: int | None) -> None:
    damaged = (GOOD[:place] + bytes([byte]) + GOOD[place + 1 :])[:cut]
    with contextlib.suppress(NotArrowError, InvalidRequestError):
        checked(decode(damaged, ARROW))


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


@settings(deadline=None)
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
