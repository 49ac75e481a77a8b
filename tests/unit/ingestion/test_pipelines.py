"""The bundled pipeline keeps the contract of app.jobs.pipelines."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from app.jobs.pipelines import load_pipelines
from ingestion.events import open_events
from ingestion.sample_day import DAILY_USERS
from ingestion.user_activity import USER_ACTIVITY_SCHEMA

AS_OF = datetime(2026, 5, 4, tzinfo=UTC)


def test_the_sample_of_a_fresh_checkout_gives_features_of_its_users(tmp_path: Path) -> None:
    pipelines = load_pipelines("ingestion.pipelines:PIPELINES")
    assert list(pipelines) == ["user_activity"]
    pipeline = pipelines["user_activity"]
    assert pipeline.view == "user_activity"
    assert pipeline.write_sample_events is not None

    pipeline.write_sample_events(tmp_path, AS_OF, lambda done, total: None)
    result = pipeline.compute(open_events(tmp_path), AS_OF, None)

    assert result.schema == USER_ACTIVITY_SCHEMA
    users = result["user_id"].to_pylist()
    assert len(set(users)) == len(users) > 200
    assert {f"u{number}" for number in range(1, DAILY_USERS + 1)} <= set(users)
    assert sum(column.null_count for column in result.columns) == 0
