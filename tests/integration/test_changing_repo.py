"""Repos as they come and change: Feast's own template, a new feature, a lost online store, a view named like ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from app.commands.up import set_up
from app.main import create_app
from app.settings import Settings
from app.stores.repo import open_repo
from tests.repos.everything import write_repo


@contextmanager
def served(folder: Path) -> Iterator[TestClient]:
    """The repo set up as `freshet up` does it, and served."""
    settings = Settings(feature_repo=folder)
    repo = open_repo(settings)
    set_up(settings, repo)
    repo.close()
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def trip(**changes: Any) -> dict[str, Any]:
    return {"driver_id": 1, "customer_id": "c", "fare": 1.0, "name": "n", **changes}


def push(client: TestClient, row: dict[str, Any]) -> dict[str, Any]:
    response = client.post("/v1/push/trip_events", json={"rows": [row]})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_a_feature_that_is_added_is_pushed_read_and_materialized(tmp_path: Path) -> None:
    """Feast gives the changed view a version number; nothing may be looked up under it."""
    with served(write_repo(tmp_path)) as client:
        assert push(client, trip())["applied"] == 1
    definitions = tmp_path / "definitions.py"
    text = definitions.read_text(encoding="utf-8")
    added = 'Field(name="fare", dtype=Float64), Field(name="tip", dtype=Float64)'
    definitions.write_text(text.replace('Field(name="fare", dtype=Float64)', added, 1), encoding="utf-8")
    with served(tmp_path) as client:
        old = client.get("/v1/online-features/both?driver_id=1&customer_id=c&full_feature_names=true").json()
        assert old["features"]["trips__fare"] == 1.0
        assert push(client, trip(tip=0.5, fare=2.0))["applied"] == 1
        body = {"features": ["trips:tip", "trips:fare"], "entities": {"driver_id": [1], "customer_id": ["c"]}}
        assert client.post("/v1/online-features", json=body).json()["values"] == [[0.5, 2.0]]


def change(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def fares(client: TestClient, *references: str) -> list[Any]:
    body = {"features": list(references), "entities": {"driver_id": [1], "customer_id": ["c"]}}
    values: list[Any] = client.post("/v1/online-features", json=body).json()["values"][0]
    return values


@pytest.mark.parametrize("lost", [False, True])
def test_a_ttl_that_is_changed_alone_leaves_the_version_where_it_is(tmp_path: Path, lost: bool) -> None:
    """Feast would give the view no number, and read the rows of v0 for it; also where it has done so before."""
    write_repo(tmp_path)
    option = "cache_ttl_seconds: 60\n  enable_online_feature_view_versioning: true"
    change(tmp_path, "feature_store.yaml", "cache_ttl_seconds: 60", option)
    with served(tmp_path) as client:
        push(client, trip())
    fare = 'Field(name="fare", dtype=Float64)'
    change(tmp_path, "definitions.py", fare, fare + ', Field(name="tip", dtype=Float64)')
    with served(tmp_path) as client:
        push(client, trip(fare=2.0, tip=0.5))
        assert fares(client, "trips:fare", "trips@v0:fare", "trips@v1:fare") == [2.0, 1.0, 2.0]
    if lost:
        lose_number(tmp_path)
    change(tmp_path, "definitions.py", "customer], ttl=timedelta(0)", "customer], ttl=timedelta(hours=9)")
    with served(tmp_path) as client:
        assert client.get("/v1/feature-views/trips").json()["ttl_seconds"] == 9 * 3600
        assert fares(client, "trips:fare", "trips@v0:fare", "trips@v1:fare") == [2.0, 1.0, 2.0]


def lose_number(folder: Path) -> None:
    """What `feast apply` does to a view of which only the ttl or the description has changed."""
    repo = open_repo(Settings(feature_repo=folder))
    view = repo.store.registry.get_feature_view("trips", repo.project)
    view.current_version_number, view.description = None, "applied by stock Feast"
    repo.store.registry.apply_feature_view(view, repo.project)
    assert repo.store.registry.get_feature_view("trips", repo.project).current_version_number is None
    repo.close()


def test_a_lost_online_store_is_made_and_filled_again(tmp_path: Path) -> None:
    with served(write_repo(tmp_path)) as client:
        push(client, trip(fare=3.0))
    for file in (tmp_path / "data").glob("online.db*"):
        file.unlink()
    with served(tmp_path) as client:
        body = {"features": ["trips:fare"], "entities": {"driver_id": [1], "customer_id": ["c"]}}
        assert client.post("/v1/online-features", json=body).json()["values"] == [[3.0]]


def test_a_view_that_is_named_like_a_bundled_one_gets_no_sample_data(tmp_path: Path) -> None:
    write_repo(tmp_path)
    definitions = tmp_path / "definitions.py"
    text = definitions.read_text(encoding="utf-8").replace('name="trips"', 'name="user_activity"')
    definitions.write_text(text, encoding="utf-8")
    with served(tmp_path) as client:
        push(client, trip())
    assert not (tmp_path / "data" / "events").exists()
    assert sum(pq.read_table(file).num_rows for file in (tmp_path / "data" / "trips").glob("*.parquet")) == 1


@pytest.mark.full  # a repo of its own
@pytest.mark.filterwarnings("ignore:Entity value_type will be mandatory:DeprecationWarning")
def test_feasts_own_template_is_served(tmp_path: Path) -> None:
    """`feast init`: a file registry or SQL one, pandas' Parquet with a struct column, push and on-demand views."""
    feast = Path(sys.executable).with_name("feast")
    subprocess.run([feast, "init", "template"], cwd=tmp_path, check=True, capture_output=True)
    with served(tmp_path / "template" / "feature_repo") as client:
        catalogue = client.get("/v1/feature-services").json()["feature_services"]
        assert all(service["servable"] for service in catalogue), catalogue
        query = "driver_id=1001&val_to_add=1&val_to_add_2=2"
        for service in catalogue:
            assert client.get(f"/v1/online-features/{service['name']}?{query}").status_code == 200, service
        row = pq.read_table(tmp_path / "template" / "feature_repo" / "data" / "driver_stats.parquet").to_pylist()[-1]
        (driver_id,) = {row["driver_id"]}
        body = {"features": ["driver_hourly_stats:conv_rate"], "entities": {"driver_id": [driver_id]}}
        answer = client.post("/v1/online-features", json=body).json()
        assert answer["event_timestamps"]["driver_hourly_stats"][0] is not None
        fresh = datetime.fromisoformat(answer["event_timestamps"]["driver_hourly_stats"][0])
        assert answer["statuses"] == [
            ["PRESENT" if datetime.now(UTC) - fresh <= timedelta(days=1) else "OUTSIDE_MAX_AGE"]
        ]


@pytest.mark.full  # a process each
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_sqlite_rows_mean_the_same_in_every_time_zone(tmp_path: Path, zone: str) -> None:
    """Stock Feast shifts SQLite timestamps by the zone of the process; ours must not follow when it changes."""
    with served(write_repo(tmp_path)) as client:
        event = datetime.now(UTC) - timedelta(minutes=5)
        push(client, trip(event_timestamp=event.isoformat()))
    program = (
        "from app.settings import Settings; from app.main import create_app\n"
        "from fastapi.testclient import TestClient; from pathlib import Path; import json, sys\n"
        "with TestClient(create_app(Settings(feature_repo=Path(sys.argv[1])))) as client:\n"
        "    body = {'features': ['trips:fare'], 'entities': {'driver_id': [1], 'customer_id': ['c']}}\n"
        "    print('ANSWER' + json.dumps(client.post('/v1/online-features', json=body).json()['event_timestamps']))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(
        command, env={"TZ": zone, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert event.isoformat().replace("+00:00", "Z") in done.stdout.partition("ANSWER")[2]
