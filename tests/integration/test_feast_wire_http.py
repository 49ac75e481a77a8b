"""Feast's wire by raw HTTP, on both profiles: the shapes of Feast's server, /push, and every fault in Feast's form."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from feast import FeatureStore
from feast.errors import FeastError
from feast.feature_server_utils import convert_response_to_dict

from tests.integration import feast_clients
from tests.integration.profiles import Profile
from tests.integration.test_push import offline_rows

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def stock(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    """Stock Feast over the same online store."""
    environment = profile.environment
    if profile.name == "production":
        registry = environment["FRESHET_REGISTRY_URL"]
        online = {"type": "redis", "connection_string": environment["REDIS_CONNECTION_STRING"]}
    else:
        registry = f"sqlite:///{profile.settings.data_path}/registry.db"
        online = {"type": "sqlite", "path": str(profile.settings.data_path / "online.db")}
    with feast_clients.direct(online, "freshet", registry, tmp_path_factory.mktemp("feast")) as store:
        yield store


def frame(*users: str, moment: datetime = NOW, **changed: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "user_id": list(users),
        "current_session_messages": list(range(1, len(users) + 1)),
        "current_session_tokens": [10] * len(users),
        "last_active_minutes_ago": [0.5] * len(users),
        "event_timestamp": [moment.isoformat()] * len(users),
    }
    return {name: values for name, values in {**columns, **changed}.items() if values is not None}


def push(client: TestClient, df: dict[str, Any], to: str = "online", source: str = "user_realtime_events") -> Any:
    return client.post("/push", json={"push_source_name": source, "df": df, "to": to})


def messages(client: TestClient, *users: str) -> list[Any]:
    body = {"features": ["user_realtime:current_session_messages"], "entities": {"user_id": list(users)}}
    response = client.post("/get-online-features", json=body)
    assert response.status_code == 200, response.text
    found: list[Any] = response.json()["results"][1]["values"]
    return found


def told(response: Any, status: int, kind: str = "FeastError") -> str:
    """The message of a fault, which must be in Feast's form and of this class."""
    assert response.status_code == status, response.text
    detail = response.json()
    assert isinstance(detail, str)
    error = FeastError.from_error_detail(detail)
    assert type(error).__name__ == kind
    assert set(json.loads(detail)) == {"module", "class", "message"}
    assert response.headers["x-request-id"]
    return str(error)


def vectors(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert set(answer) == {"results", "metadata"}
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "features", [None, ["user_realtime:current_session_tokens", "user_engagement:tokens_per_message"]]
)
def test_the_answer_is_the_one_that_feasts_server_makes(
    client: TestClient, stock: FeatureStore, profile: Profile, features: list[str] | None, full: bool
) -> None:
    moment = NOW.replace(microsecond=120_000)
    assert push(client, frame("shape", moment=moment, current_session_tokens=[None])).status_code == 200
    entities = {"user_id": ["u1", "shape", "nobody"]}
    body = {
        **({"features": features} if features else {"feature_service": "assistant_v1"}),
        "entities": entities,
        "full_feature_names": full,
        "include_feature_view_version_metadata": True,
    }
    ours = client.post("/get-online-features", json=body).json()
    asked: Any = features or stock.get_feature_service("assistant_v1")
    answer = stock.get_online_features(asked, entities, full, include_feature_view_version_metadata=True)
    theirs = convert_response_to_dict(answer.proto)

    numbers = [sorted(part["metadata"].pop("feature_view_metadata"), key=str) for part in (ours, theirs)]
    assert numbers[0] == numbers[1] != []
    found, expected = vectors(ours), vectors(theirs)
    # With full names Feast drops the features of on-demand views in Python.
    odd = {name for name in found if "per_" in name}
    assert found.keys() - (odd if full else set()) == expected.keys()
    for name in expected:
        assert found[name].keys() == expected[name].keys()
        assert found[name]["values"] == expected[name]["values"]
        times = found[name]["event_timestamps"]
        if profile.name == "embedded":
            # Stock Feast reads no fractions of a second from SQLite.
            times = [time.replace(".120Z", "Z") for time in times]
        assert times == expected[name]["event_timestamps"]
        # Feast calls PRESENT what is not there; where there is a value both say so.
        statuses = zip(found[name]["statuses"], expected[name]["statuses"], strict=True)
        for value, pair in zip(found[name]["values"], statuses, strict=True):
            assert value is None or pair == ("PRESENT", "PRESENT")


def test_names_come_in_the_order_of_the_request(client: TestClient) -> None:
    asked = [
        "user_engagement:tokens_per_message",
        "user_activity:sessions_7d",
        "user_realtime:current_session_tokens",
    ]
    body = {"features": asked, "entities": {"ignored": [1, 2], "user_id": ["u1", "nobody"]}}
    answer = client.post("/get-online-features", json=body).json()
    names = ["user_id", "tokens_per_message", "sessions_7d", "current_session_tokens"]
    assert answer["metadata"] == {"feature_names": names}
    assert [vector["statuses"][1] for vector in answer["results"]] == ["PRESENT", *["NOT_FOUND"] * 3]
    assert isinstance(answer["results"][1]["values"][0], float)


def test_a_request_for_many_entities_is_read_in_parts(client: TestClient) -> None:
    users = [f"u{number % 7}" for number in range(1200)]
    body = {"feature_service": "assistant_v1", "entities": {"user_id": users}}
    few = {"feature_service": "assistant_v1", "entities": {"user_id": users[:7]}}
    answer, piece = (client.post("/get-online-features", json=each).json() for each in (body, few))
    for whole, part in zip(answer["results"], piece["results"], strict=True):
        for column in ("values", "statuses", "event_timestamps"):
            assert whole[column] == (part[column] * 172)[:1200]


def test_a_push_goes_where_it_is_sent(client: TestClient, profile: Profile) -> None:
    for user, target in (("wire-on", "online"), ("wire-off", "offline"), ("wire-both", "online_and_offline")):
        response = push(client, frame(user), target)
        assert (response.status_code, response.content) == (200, b"")
    assert messages(client, "wire-on", "wire-off", "wire-both") == [1, None, 1]
    assert [len(offline_rows(profile, user)) for user in ("wire-on", "wire-off", "wire-both")] == [0, 1, 1]


def test_a_frame_says_null_with_nan_and_its_integers_are_whole(client: TestClient) -> None:
    df = frame("nan-1", "nan-2", current_session_messages=[float("nan"), 4.0])
    body = json.dumps({"push_source_name": "user_realtime_events", "df": df})
    assert "NaN" in body
    assert client.post("/push", content=body).status_code == 200
    assert messages(client, "nan-1", "nan-2") == [None, 4]


def test_one_faulty_row_keeps_the_whole_frame_out(client: TestClient, profile: Profile) -> None:
    df = frame("whole-1", "whole-2", "whole-3", current_session_messages=[1, 1.5, "x"])
    message = told(push(client, df, "online_and_offline"), 422)
    assert "2 of 3 rows are faulty; nothing was written" in message
    assert "row 1: current_session_messages: expected an integer, got a number with a fraction" in message
    assert "row 2: current_session_messages: expected an integer, got a string" in message
    assert messages(client, "whole-1") == [None]
    assert offline_rows(profile, "whole-1") == []


@pytest.mark.parametrize(
    ("body", "status", "kind", "words"),
    [
        ({"push_source_name": "nope"}, 422, "PushSourceNotFoundException", "no push source nope"),
        ({"df": frame("x", color=["red"])}, 422, "FeastError", "df.color: unknown; expected: user_id"),
        ({"df": frame("x", current_session_tokens=None)}, 422, "FeastError", "df.current_session_tokens: is missing"),
        ({"df": frame("x", current_session_tokens=[1, 2])}, 422, "FeastError", "same number of rows"),
        ({"df": frame("x", current_session_tokens=7)}, 422, "FeastError", "must be an array with one value per row"),
        ({"df": frame("x", created_timestamp=[1], created=[1])}, 422, "FeastError", "a second time"),
        ({"df": frame("x", user_id=[None])}, 422, "FeastError", "user_id: a join key must not be null"),
        ({"df": frame("x", moment=NOW + timedelta(days=1))}, 422, "FeastError", "future_timestamp"),
        ({"to": "everywhere"}, 422, "FeastError", "to: Invalid enum value 'everywhere'"),
        ({"df": 7}, 422, "FeastError", "df: Expected object, got int"),
    ],
)
def test_a_faulty_push_is_told_in_feasts_form(
    client: TestClient, body: dict[str, Any], status: int, kind: str, words: str
) -> None:
    whole = {"push_source_name": "user_realtime_events", "df": frame("x"), **body}
    assert words in told(client.post("/push", json=whole), status, kind)


def test_too_many_rows_and_too_long_a_body(profile: Profile) -> None:
    with profile.client(max_push_rows=2) as client:
        assert "FRESHET_MAX_PUSH_ROWS" in told(push(client, frame("a", "b", "c")), 422)
    with profile.client(max_body_bytes=100) as client:
        assert "FRESHET_MAX_BODY_BYTES" in told(push(client, frame("a")), 413)


@pytest.mark.parametrize("path", ["/get-online-features", "/push", "/write-to-online-store", "/materialize"])
def test_what_is_not_json(client: TestClient, path: str) -> None:
    assert "not valid JSON" in told(client.post(path, content=b"{"), 400)
    assert "documented form" in told(client.post(path, content=b'{"entities": 1, "df": 1, "version": 1}'), 422)


@pytest.mark.parametrize(
    ("body", "status", "kind", "words"),
    [
        ({"feature_service": "nope"}, 404, "FeatureServiceNotFoundException", "no feature service nope"),
        ({"features": ["nope:x"]}, 404, "FeatureViewNotFoundException", "no feature view nope"),
        ({"features": ["user_activity:nope"]}, 404, "FeastError", "no feature nope"),
        ({"features": ["nonsense"]}, 422, "FeastError", "not a feature reference"),
        ({}, 422, "FeastError", "give feature_service or features"),
        ({"features": ["user_activity:sessions_7d"], "entities": {}}, 422, "FeastError", "user_id: is missing"),
        ({"features": ["user_activity:sessions_7d"], "entities": {"user_id": []}}, 422, "FeastError", "not be empty"),
    ],
)
def test_a_faulty_read_is_told_in_feasts_form(
    client: TestClient, body: dict[str, Any], status: int, kind: str, words: str
) -> None:
    whole = {"entities": {"user_id": ["u1"]}, **body}
    assert words in told(client.post("/get-online-features", json=whole), status, kind)


@pytest.mark.parametrize(
    ("view", "status", "kind", "words"),
    [
        ("nope", 404, "FeatureViewNotFoundException", "no feature view nope"),
        ("user_engagement", 422, "FeastError", "user_engagement cannot be written: it is no stored feature view"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(
    client: TestClient, view: str, status: int, kind: str, words: str
) -> None:
    body = {"feature_view_name": view, "df": {"user_id": ["u1"]}}
    assert words in told(client.post("/write-to-online-store", json=body), status, kind)


def test_a_write_by_the_names_of_the_client(client: TestClient) -> None:
    df = frame("written", moment=NOW.replace(tzinfo=None), created=[None])
    response = client.post("/write-to-online-store", json={"feature_view_name": "user_realtime", "df": df})
    assert (response.status_code, response.json()) == (200, None)
    assert messages(client, "written") == [1]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "words"),
    [
        ("/materialize", {}, 422, "FeastError", "start_ts: is missing"),
        ("/materialize", {"start_ts": "soon", "end_ts": "2026-01-01"}, 422, "FeastError", "start_ts: expected a time"),
        ("/materialize", {"start_ts": "2026-01-02", "end_ts": "2026-01-01"}, 422, "FeastError", "before end_ts"),
        ("/materialize-incremental", {}, 422, "FeastError", "end_ts: is missing"),
        ("/materialize-incremental?async=maybe", {"end_ts": "2026-01-01"}, 422, "FeastError", "async: must be true"),
        (
            "/materialize-incremental",
            {"end_ts": "2026-01-01", "feature_views": ["nope"]},
            404,
            "FeatureViewNotFoundException",
            "no feature view nope",
        ),
        (
            "/materialize-incremental",
            {"end_ts": "2026-01-01", "feature_views": ["user_engagement"]},
            422,
            "FeastError",
            "user_engagement cannot be materialized",
        ),
        (
            "/materialize-incremental",
            {"end_ts": "2026-01-01", "feature_views": ["user_activity"], "version": "v7"},
            422,
            "FeastError",
            "Version v7 cannot be materialized",
        ),
        (
            "/materialize-incremental",
            {"end_ts": "2026-01-01", "version": "latest"},
            422,
            "FeastError",
            "Version latest cannot be materialized",
        ),
    ],
)
def test_a_faulty_materialization_is_told_in_feasts_form(
    client: TestClient, path: str, body: dict[str, Any], status: int, kind: str, words: str
) -> None:
    assert words in told(client.post(path, json=body), status, kind)


def test_a_materialization_without_a_window_takes_all_there_is(client: TestClient) -> None:
    push(client, frame("long-ago", moment=NOW - timedelta(minutes=50)), "offline")
    body = {"disable_event_timestamp": True, "feature_views": ["user_realtime"], "version": "latest"}
    response = client.post("/materialize", json=body)
    assert (response.status_code, response.json()) == (200, None)
    assert messages(client, "long-ago") == [1]


def test_async_answers_at_once_and_knows_what_runs(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = client.app
    materializer = app.context.materializations._materializer
    begun, go_on = threading.Event(), threading.Event()
    ran: list[str] = []

    def slow(view: Any, *_: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        ran.append(view.name)
        raise RuntimeError("told to the log alone")

    monkeypatch.setattr(materializer, "materialize", slow)
    body = {"end_ts": "2026-01-01", "feature_views": ["user_realtime"]}
    try:
        accepted = client.post("/materialize-incremental?async=true", json=body)
        assert accepted.status_code == 202
        assert accepted.json() == {"status": "accepted", "feature_views": ["user_realtime"]}
        assert begun.wait(60)
        # The loop is free while it runs.
        assert client.get("/health").status_code == 200
        everything = {"end_ts": "2026-01-01"}
        conflict = client.post("/materialize-incremental?async=true", json=everything)
        assert conflict.status_code == 409
        assert conflict.json()["feature_views"] == ["user_realtime"]
        assert "?force=true" in conflict.json()["error"]
        forced = client.post("/materialize-incremental?async=true&force=true", json=body)
        assert forced.status_code == 202
    finally:
        go_on.set()
    monkeypatch.undo()
    window = {"start_ts": "2020-01-01", "end_ts": "2020-01-02", "feature_views": ["user_realtime"]}
    # Waits in the same threads, behind the two.
    assert client.post("/materialize", json=window).status_code == 200


def test_health_is_200_and_empty(client: TestClient) -> None:
    response = client.get("/health")
    assert (response.status_code, response.content) == (200, b"")


def test_a_fault_of_this_side_tells_nothing_of_itself(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("postgresql://user:secret@host")

    app: Any = client.app
    monkeypatch.setattr(app.context.materializations._materializer, "materialize", broken)
    message = told(client.post("/materialize-incremental", json={"end_ts": "2026-01-01"}), 500)
    assert message == "Something went wrong on this side; the log has the request id"
