"""Pushes on the wire: rows from anywhere, in either encoding, written once however often they are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx2 as httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client import AsyncClient, InvalidRequestError, NoAnswerError, PushTarget, Retries, UnavailableError
from tests.unit.client_world import PUSHED, World, ok
from tests.unit.push_server import ARROW, PushServer

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ROWS = [{"user_id": "u1", "n": 2**53 + 1, "x": 0.5}, {"user_id": "u2", "n": None, "x": None}]
TABLE = pa.table({"user_id": ["u1", "u2"], "n": [2**53 + 1, None], "x": [0.5, None]})
FRAME = pd.DataFrame({"user_id": ["u1", "u2"], "n": pd.array([2**53 + 1, None], dtype="Int64"), "x": [0.5, np.nan]})


def push(server: PushServer, *arguments: Any, **named: Any) -> Any:
    async def no_wait(seconds: float) -> None:
        """Time does not matter here."""

    async def ask() -> Any:
        transport = httpx.ASGITransport(server)
        async with AsyncClient("http://features.example", transport=transport, sleep=no_wait) as client:
            return await client.push("src", *arguments, **named)

    return asyncio.run(ask())


@pytest.mark.parametrize("encoding", [None, "json", "arrow"])
@pytest.mark.parametrize("rows", [ROWS, TABLE, FRAME], ids=["list", "Table", "DataFrame"])
def test_the_same_rows_arrive_whatever_they_came_in(rows: Any, encoding: Any) -> None:
    server = PushServer()
    if rows is ROWS and encoding == "arrow":
        with pytest.raises(TypeError, match="list has no Arrow form"):
            push(server, rows, encoding=encoding)
        return

    west = MOMENT.astimezone(timezone(timedelta(hours=-7)))
    answer = push(server, rows, to="offline", watermark=west, encoding=encoding)

    assert server.rows == ROWS
    assert server.targets == ["offline"]
    assert server.watermarks == ["2026-01-02T03:04:05.000006Z"]
    assert (answer.received, answer.applied) == (2, 2)


@pytest.mark.parametrize(("rows", "kind"), [(ROWS, "application/json"), (FRAME, "application/json"), (TABLE, ARROW)])
def test_a_table_travels_as_arrow_and_all_else_as_json(rows: Any, kind: str) -> None:
    world = World("blocking", [ok(PUSHED)])
    world.ask("push", "a source", rows, to=PushTarget.ONLINE, atomic=True)

    assert world.request.headers["content-type"] == kind
    assert world.request.url.raw_path.startswith(b"/v1/push/a%20source?")
    query = dict(world.request.url.params)
    if kind == ARROW:
        assert query == {"to": "online", "atomic": "true"}
    else:
        assert query == {"atomic": "true"}
        assert json.loads(world.request.content) == {"rows": ROWS, "to": "online"}


def test_no_rows_and_a_watermark_say_that_an_idle_source_is_complete() -> None:
    server = PushServer()
    push(server, [], watermark=pd.Timestamp("2026-01-02T03:04:05.123456789"))
    push(server, FRAME[:0], watermark=datetime(2026, 1, 2))  # noqa: DTZ001
    answer = push(server, [], watermark="2026-01-03T01:00:00+01:00")
    assert server.watermarks == ["2026-01-02T03:04:05.123456Z", "2026-01-02T00:00:00Z", "2026-01-03T01:00:00+01:00"]
    assert server.rows == []
    assert answer.watermark == datetime(2026, 1, 3, tzinfo=UTC)
    assert push(server, ROWS).watermark is None
    with pytest.raises(TypeError, match="a datetime, not int"):
        push(server, [], watermark=7)


@given(st.integers(0, 4), st.sampled_from([ROWS, TABLE, FRAME]))
def test_however_many_answers_are_lost_the_rows_are_written_once(lost: int, rows: Any) -> None:
    server = PushServer(lost)
    answer = push(server, rows)
    assert server.rows == ROWS
    assert server.requests == lost + 1
    assert answer.applied == 2


def test_a_push_that_was_given_up_is_repeated_by_the_key_of_its_error() -> None:
    server = PushServer(lost=99)
    with pytest.raises(UnavailableError) as caught:
        push(server, FRAME)
    assert server.requests == Retries().attempts

    server._lost = 0
    again = push(server, FRAME, idempotency_key=caught.value.idempotency_key)

    assert again.idempotency_key == caught.value.idempotency_key
    assert server.rows == ROWS
    with pytest.raises(InvalidRequestError, match="this key came with another body"):
        push(server, ROWS[:1], idempotency_key=caught.value.idempotency_key)


def test_without_a_key_a_lost_answer_is_the_callers_to_judge() -> None:
    server = PushServer(lost=1)
    with pytest.raises(UnavailableError) as caught:
        push(server, ROWS, idempotency_key=None)
    assert caught.value.idempotency_key is None
    assert server.requests == 1
    assert server.rows == ROWS


def test_all_or_nothing() -> None:
    server = PushServer()
    faulty = [*ROWS, {"user_id": None, "n": 1, "x": 0.5}]
    with pytest.raises(InvalidRequestError, match="nothing was written") as caught:
        push(server, faulty, atomic=True)
    assert caught.value.problem.members["outcomes"][2] == {"row": 2, "outcome": "rejected"}
    assert server.rows == []

    assert push(server, faulty).rejections[0].row == 2
    assert server.rows == ROWS


def strange(rows: Any) -> Callable[[PushServer], Any]:
    return lambda server: push(server, rows)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (strange([ROWS[0], {"user_id": "u", "x": float("nan")}]), r"rows\[1\].x: NaN"),
        (strange([ROWS[0], {"user_id": "u", "x": object()}]), r"rows\[1\].x: .* object"),
        (strange([{1: 2}]), r"rows\[0\]: the name 1"),
        (strange(["u1"]), r"rows\[0\]: a row must be a mapping"),
        (strange({"user_id": ["u1"]}), "rows must be a list"),
        (strange("u1"), "rows must be a list"),
        (strange(pd.DataFrame({"x": [np.inf]})), r"rows\[0\].x"),
        (lambda server: push(server, ROWS, to="nowhere"), "nowhere"),
        (lambda server: push(server, ROWS, idempotency_key=""), "idempotency key"),
        (lambda server: push(server, ROWS, idempotency_key="a\nb"), "idempotency key"),
        (lambda server: push(server, ROWS, idempotency_key="ü"), "idempotency key"),
        (lambda server: push(server, ROWS, idempotency_key="k" * 256), "idempotency key"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(ask: Callable[[PushServer], Any], says: str) -> None:
    server = PushServer()
    with pytest.raises((ValueError, TypeError), match=says):
        ask(server)
    assert server.requests == 0


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        (FRAME, FRAME.set_index(pd.Index(["i", "j"]))),
        (TABLE, TABLE.replace_schema_metadata({"written_by": "a job"})),
    ],
)
def test_the_bytes_of_a_push_depend_on_its_columns_alone(rows: Any, same: Any) -> None:
    world = World("blocking", [ok(PUSHED)])
    for given_as in (rows, same):
        world.ask("push", "src", given_as, encoding="arrow")
    first, second = world.requests
    assert first.content == second.content


def test_a_refused_connection_says_that_nothing_was_sent() -> None:
    world = World("blocking", [httpx.ConnectError("refused")])
    with pytest.raises(NoAnswerError) as caught:
        world.ask("push", "src", ROWS, idempotency_key=None)
    assert not caught.value.sent
    assert len(world.requests) == Retries().attempts
