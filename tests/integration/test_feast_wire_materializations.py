"""Materializations over Feast's wire by raw HTTP, on both profiles."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.feast_requests import frame, messages, push, told


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
    push(client, frame("long-ago", moment=datetime.now(UTC) - timedelta(minutes=30)), "offline")
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


def test_a_fault_of_this_side_tells_nothing_of_itself(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("postgresql://user:secret@host")

    app: Any = client.app
    monkeypatch.setattr(app.context.materializations._materializer, "materialize", broken)
    message = told(client.post("/materialize-incremental", json={"end_ts": "2026-01-01"}), 500)
    assert message == "Something went wrong on this side; the log has the request id"
