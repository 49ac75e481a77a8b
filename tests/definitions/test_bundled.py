"""The bundled definitions: what they promise, what stock Feast makes of them, and that training equals serving."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from fastapi.testclient import TestClient

from app.domain import Catalog
from app.settings import BUNDLED_REPO
from app.stores.catalog import RegistryReader
from app.stores.definitions import apply_definitions
from app.stores.repo import open_repo
from tests.integration.profiles import PROFILES, Profile, opened
from tests.servers import Postgres, Redis

FEAST = Path(sys.executable).with_name("feast")


@pytest.fixture(scope="module", params=PROFILES)
def profile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, redis_server: Redis
) -> Iterator[Profile]:
    """The bundled repo, computed and materialized, on both profiles."""
    folder = tmp_path_factory.mktemp("data")
    with postgres.database() as database, opened(request.param, folder, database, redis_server) as profile:
        yield profile


@pytest.fixture
def catalog(profile: Profile) -> Iterator[Catalog]:
    repo = open_repo(profile.settings)
    yield RegistryReader(repo).read().catalog
    repo.close()


def test_an_on_demand_view_comes_with_the_text_of_its_function(catalog: Catalog) -> None:
    how, text = catalog.on_demand_views["user_engagement"].source.split("\n", 1)

    assert how == "python"
    assert "def user_engagement(" in text
    assert "tokens_per_message" in text


def test_everything_has_an_owner_a_description_and_a_team(catalog: Catalog) -> None:
    everything: list[Any] = [
        *catalog.entities.values(),
        *catalog.views.values(),
        *catalog.on_demand_views.values(),
        *catalog.services.values(),
    ]
    for entry in everything:
        assert entry.owner, entry.name
        assert len(entry.description) > 20, entry.name
        assert entry.tags["team"], entry.name
    for view in catalog.views.values():
        assert all(field.description for field in view.features), view.name


def test_the_views_are_what_the_contract_says(catalog: Catalog) -> None:
    activity, realtime = catalog.views["user_activity"], catalog.views["user_realtime"]
    assert {field.name: field.dtype for field in activity.features} == {
        "sessions_7d": "INT64",
        "avg_session_duration_sec": "FLOAT",
        "messages_sent_7d": "INT64",
        "tools_used_7d": "INT64",
        "preferred_model": "STRING",
        "total_tokens_7d": "INT64",
    }
    assert {field.name: field.dtype for field in realtime.features} == {
        "current_session_messages": "INT64",
        "current_session_tokens": "INT64",
        "last_active_minutes_ago": "FLOAT",
    }
    assert (activity.ttl, realtime.ttl) == (timedelta(days=7), timedelta(hours=1))
    assert (activity.tags["freshness_sla"], activity.tags["version"]) == ("daily", "2")
    assert (realtime.tags["freshness_sla"], realtime.tags["version"]) == ("realtime", "1")
    assert catalog.push_sources == {"user_realtime_events": ("user_realtime",)}
    # A first draft had both views on one table.
    assert activity.source is not None
    assert realtime.source is not None
    assert activity.source.name != realtime.source.name
    assert [projection.view for projection in catalog.services["assistant_v1"].projections] == [
        "user_activity",
        "user_realtime",
        "user_engagement",
    ]


def test_engagement_is_null_where_it_would_divide_by_zero_or_nothing(catalog: Catalog) -> None:
    columns: dict[str, list[Any]] = {
        "user_activity__total_tokens_7d": [10, 5, None, float("nan")],
        "user_activity__messages_sent_7d": [0, 2, 3, 1],
        "user_activity__sessions_7d": [0, 1, None, 0],
    }
    assert catalog.on_demand_views["user_engagement"].transform(columns) == {
        "tokens_per_message": [None, 2.5, None, None],
        "messages_per_session": [None, 2.0, None, None],
    }


def test_the_profiles_differ_in_stores_only() -> None:
    def rest(name: str) -> dict[str, Any]:
        config = yaml.safe_load((BUNDLED_REPO / name).read_text(encoding="utf-8"))
        return {key: value for key, value in config.items() if key not in ("registry", "online_store", "offline_store")}

    assert rest("feature_store.yaml") == rest("feature_store.production.yaml")


def test_applying_twice_changes_nothing(profile: Profile) -> None:
    repo = open_repo(profile.settings)
    reader = RegistryReader(repo)
    before = reader.read().catalog
    assert apply_definitions(repo, profile.settings) == []
    after = reader.read().catalog
    assert before.views == after.views
    assert before.services == after.services
    repo.close()


def test_training_gives_the_same_features_as_online(profile: Profile) -> None:
    """Rule 6 for today's rows: Feast's own training join over our offline store, and our answer over HTTP."""
    with profile.client() as client:
        now = datetime.now(UTC)
        row = {
            "user_id": "u1",
            "event_timestamp": (now - timedelta(seconds=5)).isoformat(),
            "current_session_messages": 3,
            "current_session_tokens": 900,
            "last_active_minutes_ago": 1.5,
        }
        assert client.post("/v1/push/user_realtime_events", json={"rows": [row]}).json()["applied"] == 1
        users = ["u1", "u2", "u3", "nobody"]
        online = _online(client, users)
    repo = open_repo(profile.settings)
    spine = pd.DataFrame({"user_id": users, "event_timestamp": [datetime.now(UTC)] * len(users)})
    service = repo.store.get_feature_service("assistant_v1")
    training = repo.store.get_historical_features(spine, service).to_df().set_index("user_id").loc[users]
    repo.close()
    for feature, values in online.items():
        expected = [None if pd.isna(value) else value for value in training[feature].tolist()]
        assert values == pytest.approx(expected), feature
    assert online["tokens_per_message"][0] is not None
    assert online["current_session_messages"] == [3, None, None, None]


def _online(client: TestClient, users: list[str]) -> dict[str, list[Any]]:
    body = {"feature_service": "assistant_v1", "entities": {"user_id": users}}
    answer = client.post("/v1/online-features", json=body).json()
    names = [reference.partition(":")[2] for reference in answer["features"]]
    return {name: list(column) for name, column in zip(names, zip(*answer["values"], strict=True), strict=True)}


def test_stock_feast_applies_the_folder_as_it_is(tmp_path: Path) -> None:
    copy = tmp_path / "feature_definitions"
    shutil.copytree(BUNDLED_REPO, copy, ignore=shutil.ignore_patterns("*.db*", "*.parquet", "__pycache__"))
    done = subprocess.run([FEAST, "apply"], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("user_activity", "user_realtime", "user_engagement", "assistant_v1"):
        assert name in done.stdout
