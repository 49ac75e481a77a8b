"""What both clients raise: a class for each kind of failure, all that the server told, and never a secret."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from app import client as package
from app.client import AsyncClient, Client, NoAnswerError, UnexpectedAnswerError
from tests.unit.client_world import KINDS, ONE, World, ok, problem


@pytest.mark.parametrize(
    ("status", "slug", "error"),
    [
        (400, "not-json", "InvalidRequestError"),
        (401, "unauthorized", "AccessDeniedError"),
        (403, "forbidden", "AccessDeniedError"),
        (404, "not-found", "NotFoundError"),
        (409, "stale-features", "StaleFeaturesError"),
        (409, "conflict", "RefusedError"),
        (413, "body-too-large", "InvalidRequestError"),
        (422, "invalid-request", "InvalidRequestError"),
        (429, "too-many-requests", "TooManyRequestsError"),
        (500, "internal", "ServerError"),
        (503, "store-unavailable", "UnavailableError"),
        (599, "strange", "ServerError"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_is_an_exception_that_tells_all_of_it(kind: str, status: int, slug: str, error: str) -> None:
    faults = [{"field": "rows", "message": "is missing"}]
    world = World(kind, [problem(status, slug, {"Retry-After": "100"}, errors=faults, kept="offline")])

    with pytest.raises(package.ProblemError) as caught:
        world.ask("push", "src", [], idempotency_key="k1")

    assert type(caught.value).__name__ == error
    told = caught.value.problem
    assert (told.status, told.slug, told.title, told.detail) == (status, slug, "Some problem", "what is wrong")
    assert (told.request_id, told.members["kept"]) == ("r-1", "offline")
    assert [(fault.field, fault.message) for fault in told.errors] == [("rows", "is missing")]
    assert (caught.value.retry_after, caught.value.idempotency_key) == (100, "k1")
    said = f"Some problem: what is wrong; rows: is missing (status {status}, request r-1)"
    assert str(caught.value) == said


@pytest.mark.parametrize("content", [b"<html>no</html>", b"[1, 2]", b'{"errors": [3]}', b"{", b'{"errors": 7}'])
def test_a_problem_that_a_proxy_tells_in_words_of_its_own(content: bytes) -> None:
    head = {"content-type": "application/json", "x-request-id": "r-2"}
    world = World("blocking", [httpx.Response(403, content=content, headers=head)])

    with pytest.raises(package.AccessDeniedError) as caught:
        world.ask("feature_views")

    told = caught.value.problem
    assert (told.type, told.title, told.status, told.request_id) == ("about:blank", "Forbidden", 403, "r-2")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>Please log in</html>"),
        httpx.Response(200, content=b"{", headers={"content-type": "application/json"}),
        ok({"hello": "world"}),
        ok([1]),
        ok({**ONE, "statuses": {"a": "MAYBE"}}),
        httpx.Response(302, headers={"location": "http://elsewhere.example/"}),
        httpx.Response(204),
    ],
)
def test_what_freshet_would_not_answer_is_not_taken_for_an_answer(kind: str, answer: httpx.Response) -> None:
    with pytest.raises(UnexpectedAnswerError, match="GET /v1/online-features/svc: not what Freshet would answer"):
        World(kind, [answer]).ask("read_one", "svc", {"user_id": "u1"})


@pytest.mark.parametrize(("error", "sent"), [(httpx.ConnectError("refused"), False), (httpx.ReadTimeout("slow"), True)])
def test_no_answer_says_whether_the_server_may_have_got_it(error: httpx.RequestError, sent: bool) -> None:
    with pytest.raises(NoAnswerError, match="POST /v1/push/src: no answer") as caught:
        World("blocking", [error]).ask("push", "src", [], idempotency_key="k1")

    assert caught.value.sent is sent
    assert caught.value.idempotency_key == "k1"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_is_sent_and_never_told(kind: str) -> None:
    world = World(kind, [problem(401)], options={"api_key": "s3cret"})

    with pytest.raises(package.AccessDeniedError) as caught:
        world.ask("feature_views")

    assert world.request.headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in f"{caught.value!r}{caught.value}{caught.value.problem!r}{Client('http://x', 's3cret')!r}"
    anonymous = World(kind, [ok({"feature_views": []})])
    anonymous.ask("feature_views")
    assert "authorization" not in anonymous.request.headers


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("features.example",), "base_url"),
        (("ftp://user:s3cret@features.example",), "base_url"),
        (("http://user:s3cret@features.example:port",), "base_url"),
        (("http://features.example", "s3cret\n"), "api_key"),
        (("http://features.example", "s3cret-ü"), "api_key"),
        (("http://features.example", None, 0), "timeout"),
    ],
)
def test_a_client_that_cannot_work_is_refused_without_a_secret(client: Any, arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        client(*arguments)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or "s3cret" not in str(caught.value.__context__)
