"""The consistency probe over on-demand views that are skewed, or that cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.integration.server_process import run_here
from tests.integration.skew_reports import OFTEN, about, next_look, of_view, report
from tests.repos.skewed import write_skewed_repo


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An application over on-demand views that are skewed, or cannot be compared."""
    folder: Path = tmp_path_factory.mktemp("skewed")
    write_skewed_repo(folder)
    environment = {"FRESHET_FEATURE_REPO": str(folder), "FRESHET_DATA_DIR": str(folder / "data")}
    done = run_here("apply", environment=environment)
    assert done.returncode == 0, done.stderr
    settings = Settings(feature_repo=folder, data_dir=folder / "data", online_timeout=5.0, **OFTEN)  # type: ignore[arg-type]
    with TestClient(create_app(settings)) as client:
        now = datetime.now(UTC).isoformat()
        rows = [{"sensor_id": number, "value": 10 * number, "event_timestamp": now} for number in range(4)]
        assert client.post("/v1/push/events", json={"rows": rows}).status_code == 200
        yield client


def test_a_function_that_depends_on_its_neighbours_is_found(skewed: TestClient) -> None:
    found = next_look(skewed)
    assert about(found, sensor_id=1) == [("of_the_batch", "transformation", ["centred"])]
    assert of_view(found, "of_the_batch")["mismatched"] > 0
    assert of_view(found, "readings")["mismatched"] == 0


def test_a_function_of_the_instant_sees_the_same_one(skewed: TestClient) -> None:
    instant = of_view(next_look(skewed), "of_the_instant")
    assert instant["checked"] > 0
    assert (instant["mismatched"], instant["skipped_reason"]) == (0, None)


def test_what_only_callers_know_is_not_compared(skewed: TestClient) -> None:
    caller = of_view(next_look(skewed), "of_the_caller")
    assert (caller["checked"], caller["last_checked_at"]) == (0, None)
    assert "factor" in caller["skipped_reason"]
    assert 'freshet_skew_checked_total{feature_view="of_the_caller"' not in skewed.get("/metrics").text


def test_nobody_looks_where_nobody_wants_to(tmp_path: Path) -> None:
    write_skewed_repo(tmp_path)
    environment = {"FRESHET_FEATURE_REPO": str(tmp_path), "FRESHET_DATA_DIR": str(tmp_path / "data")}
    assert run_here("apply", environment=environment).returncode == 0
    settings = Settings(feature_repo=tmp_path, data_dir=tmp_path / "data", skew_interval=timedelta(0))
    with TestClient(create_app(settings)) as client:
        assert report(client) == {"generated_at": None, "interval_seconds": 0.0, "views": [], "mismatches": []}
        assert report(client, "readings")["views"] == []
