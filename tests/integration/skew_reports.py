"""Reports on skew of a running application that looks often."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient

OFTEN = {"skew_interval": timedelta(seconds=0.2), "skew_sample": 10_000}
SECONDS = 60.0


def report(client: TestClient, view: str | None = None) -> dict[str, Any]:
    """What GET /v1/skew says."""
    answer = client.get("/v1/skew", params={} if view is None else {"feature_view": view})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def next_look(client: TestClient) -> dict[str, Any]:
    """The report of a look that began after this call."""
    called, deadline = datetime.now(UTC), time.monotonic() + SECONDS
    board = client.app.context.skew  # type: ignore[attr-defined]
    while board.report is None or board.report.began_at < called:
        assert time.monotonic() < deadline, report(client)
        time.sleep(0.02)
    return report(client)


def of_view(found: dict[str, Any], view: str) -> dict[str, Any]:
    """What a report says of a view."""
    (one,) = [entry for entry in found["views"] if entry["feature_view"] == view]
    return dict(one)


def about(found: dict[str, Any], **entity: Any) -> list[tuple[str, str, list[str]]]:
    """The mismatches of an entity: view, kind and features."""
    return [
        (one["feature_view"], one["kind"], one["features"]) for one in found["mismatches"] if one["entity"] == entity
    ]


def mismatched(found: dict[str, Any]) -> dict[str, int]:
    """The totals of mismatches by view."""
    return {view["feature_view"]: view["mismatched"] for view in found["views"]}
