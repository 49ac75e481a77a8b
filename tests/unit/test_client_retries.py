"""When the client asks again: which failures, after how long, and never beyond its deadline."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client import ClientError, NoAnswerError, ProblemError, Retries, UnavailableError
from app.client.retries import Attempts, Repeat, retry_after
from tests.unit.client_world import KINDS, MANY, ONE, PUSHED, READY, Answer, World, ok, problem

ROW = {"user_id": "u1"}
CALLS: dict[str, tuple[Any, ...]] = {
    "read_one": ("read_one", {}, ONE, "svc", {"user_id": "u1"}),
    "read_many": ("read_many", {"features": ["va:a"]}, MANY, {"user_id": ["u1"]}),
    "feature_views": ("feature_views", {}, {"feature_views": []}),
    "feature_services": ("feature_services", {}, {"feature_services": []}),
    "push": ("push", {}, PUSHED, "src", [ROW]),
    "push without a key": ("push", {"idempotency_key": None}, PUSHED, "src", [ROW]),
    "ready": ("ready", {}, READY),
}
SAFE = {"read_one", "read_many", "feature_views", "feature_services", "push"}
UNSENT = {*SAFE, "push without a key"}

FAILURES: dict[str, tuple[Answer, set[str]]] = {
    "429": (problem(429), UNSENT),
    "502": (httpx.Response(502, text="<html>"), SAFE),
    "503": (problem(503), SAFE),
    "504": (httpx.Response(504), SAFE),
    "connection refused": (httpx.ConnectError("refused"), UNSENT),
    "no connection in time": (httpx.ConnectTimeout("slow"), UNSENT),
    "no free connection": (httpx.PoolTimeout("busy"), UNSENT),
    "connection lost": (httpx.ReadError("reset"), SAFE),
    "sending failed": (httpx.WriteError("reset"), SAFE),
    "closed without an answer": (httpx.RemoteProtocolError("disconnected"), SAFE),
    "no answer in time": (httpx.ReadTimeout("slow"), SAFE),
    "400": (problem(400), set()),
    "401": (problem(401), set()),
    "404": (problem(404), set()),
    "409": (problem(409), set()),
    "413": (problem(413), set()),
    "422": (problem(422), set()),
    "500": (problem(500), set()),
    "302": (httpx.Response(302, headers={"location": "http://elsewhere.example/"}), set()),
    "not what was sent": (httpx.LocalProtocolError("illegal header"), set()),
    "undecodable": (httpx.DecodingError("not gzip"), set()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_call_is_repeated_only_where_that_is_safe(kind: str, name: str, failure: str) -> None:
    method, named, body, *arguments = CALLS[name]
    answer, repeated = FAILURES[failure]
    world = World(kind, [answer, ok(body)])

    if name in repeated:
        world.ask(method, *arguments, **named)
        assert len(world.requests) == 2
        assert len(world.sleeps) == 1
    else:
        with pytest.raises(ClientError):
            world.ask(method, *arguments, **named)
        assert len(world.requests) == 1
        assert world.sleeps == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_attempt_of_a_push_is_the_same_request(kind: str) -> None:
    world = World(kind, [problem(503), httpx.ReadTimeout("slow"), ok(PUSHED)])

    answer = world.ask("push", "src", [ROW], to="online")

    keys = {request.headers["idempotency-key"] for request in world.requests}
    assert keys == {answer.idempotency_key}
    assert len({request.content for request in world.requests}) == 1
    assert len(world.requests) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_another_push_of_the_same_rows_is_another_push_unless_the_caller_says_otherwise(kind: str) -> None:
    world = World(kind, [ok(PUSHED)])

    keys = [world.ask("push", "src", [ROW], **given).idempotency_key for given in ({}, {}, {"idempotency_key": "k 1"})]

    assert [request.headers["idempotency-key"] for request in world.requests] == keys
    assert len(set(keys)) == 3
    assert keys[2] == "k 1"


@pytest.mark.parametrize("kind", KINDS)
def test_it_waits_longer_each_time_and_then_raises_the_last_failure(kind: str) -> None:
    world = World(kind, [problem(503)], Retries(attempts=4, first_delay=0.1, longest_delay=0.3))

    with pytest.raises(UnavailableError):
        world.ask("feature_views")

    assert len(world.requests) == 4
    for slept, longest in zip(world.sleeps, [0.1, 0.2, 0.3], strict=True):
        assert longest / 2 <= slept <= longest


@pytest.mark.parametrize("kind", KINDS)
def test_retry_after_is_waited_for(kind: str) -> None:
    world = World(kind, [problem(429, headers={"Retry-After": "7"}), ok(ONE)])

    world.ask("read_one", "svc", ROW)

    (slept,) = world.sleeps
    assert 7 < slept <= 7.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_beyond_the_deadline_is_not_begun(kind: str) -> None:
    world = World(kind, [problem(503, headers={"Retry-After": "31"})], Retries(deadline=30))

    with pytest.raises(ProblemError) as caught:
        world.ask("read_one", "svc", ROW)

    assert caught.value.retry_after == 31
    assert world.sleeps == []
    assert len(world.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_slow_failures_use_up_the_deadline_and_shorten_the_waits_for_the_network(kind: str) -> None:
    world = World(kind, [httpx.ReadTimeout("slow")], Retries(attempts=99, deadline=10), takes=4, options={"timeout": 5})

    with pytest.raises(NoAnswerError):
        world.ask("read_one", "svc", ROW)

    assert len(world.requests) == 3
    given = [request.extensions["timeout"]["read"] for request in world.requests]
    assert given[:2] == [5, 5]
    assert 0 < given[2] < 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 12 "}, 12),
        ({"retry-after": "Fri, 02 Jan 2026 03:04:15 GMT", "date": "Fri, 02 Jan 2026 03:04:05 GMT"}, 10),
        ({"retry-after": "Fri, 02 Jan 2026 03:04:05 GMT", "date": "Fri, 02 Jan 2026 03:04:15 GMT"}, 0),
        ({"retry-after": "Fri, 02 Jan 2026 03:04:05 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Headers(headers)) == seconds


outcomes = st.one_of(
    st.sampled_from([httpx.ConnectError("x"), httpx.ReadError("x"), httpx.Response(503), httpx.Response(429)]),
    st.integers(0, 40).map(lambda seconds: httpx.Response(503, headers={"retry-after": str(seconds)})),
)


@given(
    st.builds(Retries, attempts=st.integers(1, 8), deadline=st.floats(0.1, 60), first_delay=st.floats(0, 5)),
    st.lists(st.tuples(outcomes, st.floats(0, 20), st.floats(0, 1)), min_size=1, max_size=12),
)
def test_no_attempt_begins_after_the_deadline_or_before_the_server_asks_for_it(
    retries: Retries, script: list[tuple[httpx.Response | httpx.RequestError, float, float]]
) -> None:
    now, made, chance = 0.0, 0, 0.0
    attempts = Attempts(retries, Repeat.SAFE, lambda: now, lambda: chance)
    for outcome, takes, chance in script:  # noqa: B007 - read by the lambda
        assert now < retries.deadline
        assert attempts.seconds_left() <= retries.deadline
        made += 1
        now += takes
        delay = attempts.delay_after(outcome)
        if delay is None:
            break
        asked = retry_after(outcome.headers) if isinstance(outcome, httpx.Response) else None
        assert (asked or 0) <= delay <= (asked or 0) + retries.longest_delay
        now += delay
    assert made <= retries.attempts


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"deadline": 0}, {"first_delay": -1}, {"longest_delay": 0.01}])
def test_retries_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        Retries(**wrong)
