"""Writes over Feast's wire by raw HTTP, on both profiles: all rows or none, and every fault in Feast's form."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.feast_requests import NOW, frame, messages, push, told
from tests.integration.profiles import Profile
from tests.integration.pushes import offline_rows


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
    assert "row 1: wrong_type: current_session_messages: expected an integer, got a number with a fraction" in message
    assert "row 2: wrong_type: current_session_messages: expected an integer, got a string" in message
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
        ({"df": frame("x", user_id=[None])}, 422, "FeastError", "null_join_key: user_id: a join key must not be null"),
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


@pytest.mark.parametrize(
    ("view", "status", "kind", "words"),
    [
        ("nope", 404, "FeatureViewNotFoundException", "no feature view nope"),
        (
            "user_engagement",
            422,
            "FeastError",
            "user_engagement cannot be written online: it is no stored feature view",
        ),
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
