"""Requests of Feast's wire by raw HTTP, for the bundled push source."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from fastapi.testclient import TestClient
from feast.errors import FeastError

NOW = datetime.now(UTC)


def frame(*users: str, moment: datetime = NOW, **changed: Any) -> dict[str, Any]:
    """A DataFrame with a row per user; `changed` columns replace its own, and None leaves one out."""
    columns: dict[str, Any] = {
        "user_id": list(users),
        "current_session_messages": list(range(1, len(users) + 1)),
        "current_session_tokens": [10] * len(users),
        "last_active_minutes_ago": [0.5] * len(users),
        "event_timestamp": [moment.isoformat()] * len(users),
    }
    return {name: values for name, values in {**columns, **changed}.items() if values is not None}


def push(client: TestClient, df: dict[str, Any], to: str = "online") -> Any:
    """The response to a push of a DataFrame."""
    return client.post("/push", json={"push_source_name": "user_realtime_events", "df": df, "to": to})


def messages(client: TestClient, *users: str) -> list[Any]:
    """What is online of each user: the messages of the current session."""
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
