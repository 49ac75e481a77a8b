"""Bad input: always a 4xx problem that names the field, never a 500, and nothing written."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from tests.integration.profiles import Profile
from tests.integration.pushes import event

ONLINE = "/v1/online-features"
PUSH = "/v1/push/user_realtime_events"
ENTITIES = {"user_id": ["u1"]}


def check_problem(response: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= body.keys()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    if field is not None:
        assert field in [error["field"] for error in body["errors"]], body
    return body


def test_a_body_that_is_too_long_is_refused(profile: Profile) -> None:
    with profile.client(max_body_bytes=1000) as client:
        body = json.dumps({"feature_service": "assistant_v1", "entities": {"user_id": ["u" * 1000]}})
        problem = check_problem(client.post(ONLINE, content=body), 413)
        assert "1000 bytes" in problem["detail"]
        assert client.post(ONLINE, json={"feature_service": "assistant_v1", "entities": ENTITIES}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "field", "detail"),
    [
        ("/v1/online-features/nothing?user_id=u1", 404, None, "assistant_v1"),
        ("/v1/online-features/assistant_v1", 422, "user_id", None),
        ("/v1/online-features/assistant_v1?user_id=", 422, "user_id", None),
        ("/v1/online-features/assistant_v1?user_id=u1&user_id=u2", 422, "user_id", None),
        ("/v1/online-features/assistant_v1?user_id=u1&account=7", 422, "account", None),
        ("/v1/online-features/assistant_v1?user_id=u1&max_staleness=soon", 422, "max_staleness", None),
        ("/v1/online-features/assistant_v1?user_id=u1&on_stale=maybe", 422, "on_stale", None),
        ("/v1/online-features/assistant_v1?user_id=u1&full_feature_names=perhaps", 422, "full_feature_names", None),
        ("/v1/feature-views/nothing", 404, None, "nothing"),
        ("/v1/feature-services/nothing", 404, None, "nothing"),
        ("/v1/entities/nothing", 404, None, "nothing"),
        ("/nothing", 404, None, None),
    ],
)
def test_get(client: TestClient, path: str, status: int, field: str | None, detail: str | None) -> None:
    body = check_problem(client.get(path), status, field)
    assert detail is None or detail in body["detail"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"feature_service": "nothing", "entities": ENTITIES}, 404, None),
        ({"features": ["nothing:x"], "entities": ENTITIES}, 404, None),
        ({"features": ["user_activity:nothing"], "entities": ENTITIES}, 404, None),
        ({"features": ["user_activity"], "entities": ENTITIES}, 422, "features[0]"),
        ({"features": ["user_activity:sessions_7d"] * 2, "entities": ENTITIES}, 422, "features[1]"),
        ({"features": [], "entities": ENTITIES}, 422, "features"),
        ({"features": ["user_activity@v9:sessions_7d"], "entities": ENTITIES}, 404, None),
        ({"entities": ENTITIES}, 422, "feature_service"),
        ({"feature_service": "assistant_v1", "features": ["a:b"], "entities": ENTITIES}, 422, "feature_service"),
        ({"feature_service": "assistant_v1"}, 422, "entities"),
        ({"feature_service": "assistant_v1", "entities": {}}, 422, "entities.user_id"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": []}}, 422, "entities.user_id"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": "u1"}}, 422, "entities.user_id"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": ["u1", None]}}, 422, "entities.user_id[1]"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": [""]}}, 422, "entities.user_id[0]"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": [1]}}, 422, "entities.user_id[0]"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": [True]}}, 422, "entities.user_id[0]"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": [2**70]}}, 422, "entities.user_id[0]"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": [float("nan")]}}, 422, "entities.user_id[0]"),
        ({"feature_service": "assistant_v1", "entities": {"user_id": ["\ud800"]}}, 422, "entities.user_id[0]"),
        ({"feature_service": "assistant_v1", "entities": {"\ud800": ["u1"]}}, 422, "entities.user_id"),
        ({"feature_service": "\ud800", "entities": ENTITIES}, 404, None),
        ({"feature_service": "assistant_v1", "entities": {**ENTITIES, "account": [1]}}, 422, "entities.account"),
        ({"feature_service": "assistant_v1", "entities": ENTITIES, "request_data": {"x": [1]}}, 422, "request_data.x"),
        ({"feature_service": "assistant_v1", "entities": ENTITIES, "max_staleness": -1}, 422, "max_staleness"),
        ({"feature_service": "assistant_v1", "entities": ENTITIES, "max_staleness": 1e400}, 422, "max_staleness"),
        ({"feature_service": "assistant_v1", "entities": ENTITIES, "on_stale": "x"}, 422, "on_stale"),
        ({"feature_service": "assistant_v1", "entities": ENTITIES, "extra": 1}, 422, "extra"),
        ([], 422, "body"),
        (None, 422, "body"),
        ("text", 422, "body"),
    ],
)
def test_post_online_features(client: TestClient, body: Any, status: int, field: str | None) -> None:
    content = json.dumps(body)
    response = client.post(ONLINE, content=content, headers={"content-type": "application/json"})
    check_problem(response, status, field)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"not json", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
@pytest.mark.parametrize("path", [ONLINE, PUSH])
def test_a_body_that_is_not_json(client: TestClient, path: str, content: bytes) -> None:
    response = client.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    check_problem(response, response.status_code)


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/push/nothing", {"rows": [{}]}, 404, None),
        ("/v1/push/nothing", {}, 404, None),
        (PUSH, {}, 422, "rows"),
        (PUSH, {"rows": []}, 422, "rows"),
        (PUSH, {"rows": {}}, 422, "rows"),
        (PUSH, {"rows": [{}], "to": "nowhere"}, 422, "to"),
        (PUSH, {"rows": [{}], "extra": 1}, 422, "extra"),
    ],
)
def test_push(client: TestClient, path: str, body: Any, status: int, field: str | None) -> None:
    check_problem(client.post(path, json=body), status, field)


@pytest.mark.parametrize(
    ("content_type", "content", "query", "status", "field"),
    [
        ("text/csv", b"user_id\nu1\n", "", 415, None),
        ("application/x-ndjson", b"{\n", "", 400, "line 1"),
        ("application/x-ndjson", b"", "", 422, "rows"),
        ("application/x-ndjson", b"{}\n", "?watermark=soon", 422, "watermark"),
        ("application/vnd.apache.arrow.stream", b"PAR1", "", 400, "body"),
        ("application/json", b'{"rows": [{}]}', "?atomic=perhaps", 422, "atomic"),
        ("application/json", b'{"rows": [{}]}', "?to=online", 422, "to"),
        ("application/json", b'{"rows": [{}], "watermark": "soon"}', "", 422, "watermark"),
        ("application/json", b'{"rows": [], "watermark": "2999-01-01T00:00:00Z"}', "", 422, "watermark"),
        ("application/json", b'{"rows": []}', "", 422, "rows"),
    ],
)
def test_push_in_other_forms(
    client: TestClient, content_type: str, content: bytes, query: str, status: int, field: str | None
) -> None:
    response = client.post(PUSH + query, content=content, headers={"content-type": content_type})
    check_problem(response, status, field)


def test_a_compressed_push_is_told_that_it_is(client: TestClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    content = gzip.compress(b'{"rows": [{}]}')
    assert "content-encoding" in check_problem(client.post(PUSH, content=content, headers=headers), 415)["detail"]


def test_rows_ahead_of_the_clock_are_refused_where_too_many_wait(profile: Profile) -> None:
    ahead, past = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (1, -1))
    with profile.client(push_queue_rows=1) as client:
        assert client.post(PUSH, json={"rows": [event("ahead", ahead)]}).json()["applied"] == 1
        refused = client.post(PUSH, json={"rows": [event("ahead", ahead)]})
        assert "1 rows ahead of the clock" in check_problem(refused, 429)["detail"]
        assert refused.headers["retry-after"]
        assert client.post(PUSH, json={"rows": [event("ahead", past)]}).status_code == 200
        assert client.post(PUSH, json={"rows": [event("ahead", ahead)], "to": "offline"}).status_code == 200


def test_a_push_that_is_too_long_is_refused(profile: Profile) -> None:
    with profile.client(max_body_bytes=1000) as client:
        for kind in ("json", "x-ndjson", "vnd.apache.arrow.stream"):
            headers = {"content-type": f"application/{kind}"}
            check_problem(client.post(PUSH, content=b" " * 1001, headers=headers), 413)


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "k\u00e9y"])
def test_an_idempotency_key_that_cannot_be_remembered_is_refused(client: TestClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    check_problem(client.post(PUSH, json={"rows": [{}]}, headers=headers), 422, "Idempotency-Key")


def test_the_wrong_method_and_too_many_entities(client: TestClient) -> None:
    assert check_problem(client.delete(ONLINE), 405)["title"] == "Method Not Allowed"
    many = {"feature_service": "assistant_v1", "entities": {"user_id": ["u"] * 10_001}}
    assert "FRESHET_MAX_ENTITIES" in check_problem(client.post(ONLINE, json=many), 422, "entities")["detail"]


def test_all_faults_are_told_at_once(client: TestClient) -> None:
    body = {"feature_service": "assistant_v1", "entities": {"user_id": [1, "u1", None], "account": [1]}}
    fields = [error["field"] for error in check_problem(client.post(ONLINE, json=body), 422)["errors"]]
    assert fields == ["entities.account", "entities.user_id[0]", "entities.user_id[2]"]


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("x" * 129, False), ("a\tb", False)])
def test_the_callers_request_id_comes_back_if_it_is_sane(client: TestClient, given: str, kept: bool) -> None:
    response = client.get("/v1/entities/nothing", headers={"x-request-id": given})
    assert (check_problem(response, 404)["request_id"] == given) is kept
