"""The traps of Feast's online path at the HTTP level, over SQLite and over Redis: each would be seen by a caller."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fastapi.testclient import TestClient
from feast import FeatureStore
from feast.feature_view import FeatureViewState

from app.commands.up import set_up
from app.main import create_app
from app.settings import Settings
from app.stores.repo import open_repo
from tests.repos.everything import write_repo
from tests.servers import Redis

HOUR = timedelta(hours=1)
FARE = {"features": ["trips:fare"], "entities": {"driver_id": [1], "customer_id": ["c"]}}


@dataclass(frozen=True)
class Lab:
    """The repo with every type, over one store; `served` sets it up again, as a restart would."""

    folder: Path

    def served(self) -> TestClient:
        settings = Settings(feature_repo=self.folder, online_timeout=5.0)
        repo = open_repo(settings)
        set_up(settings, repo)
        repo.close()
        return TestClient(create_app(settings), raise_server_exceptions=False)


@pytest.fixture(params=["sqlite", "redis"])
def lab(request: pytest.FixtureRequest, tmp_path: Path, empty_redis: Redis) -> Lab:
    """The repo over SQLite and over Redis in turn."""
    redis: dict[str, object] = {"type": "redis", "connection_string": empty_redis.connection_string}
    return Lab(write_repo(tmp_path, online=redis if request.param == "redis" else None))


def push(client: TestClient, event: datetime, **values: Any) -> dict[str, Any]:
    row = {"driver_id": 1, "customer_id": "c", "name": None, "ts": event.isoformat(), **values}
    response = client.post("/v1/push/trip_events", json={"rows": [row]})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def read(client: TestClient, body: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Values and statuses of the first row."""
    response = client.post("/v1/online-features", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["values"][0], answer["statuses"][0]


def test_a_corrected_row_at_the_same_times_arrives(lab: Lab) -> None:
    event, made = datetime.now(UTC) - HOUR, (datetime.now(UTC) - HOUR).isoformat()
    with lab.served() as client:
        assert push(client, event, fare=1.0, made=made)["applied"] == 1
        assert push(client, event, fare=2.0, made=made)["applied"] == 1
        assert read(client, FARE) == ([2.0], ["PRESENT"])
        assert push(client, event, fare=2.0, made=made)["duplicate"] == 1


def test_a_late_row_replaces_no_newer_one(lab: Lab) -> None:
    event = datetime.now(UTC) - HOUR
    with lab.served() as client:
        push(client, event, fare=1.0)
        assert push(client, event - HOUR, fare=2.0)["late"] == 1
        assert read(client, FARE) == ([1.0], ["PRESENT"])
    with lab.served() as client:  # materialized again, the late row among the offline ones
        assert read(client, FARE) == ([1.0], ["PRESENT"])


def test_a_field_that_was_added_arrives_at_the_same_times(lab: Lab) -> None:
    event = datetime.now(UTC).replace(microsecond=0) - HOUR
    row = {"driver_id": 1, "customer_id": "c", "fare": 1.0, "name": None, "ts": event, "made": event}
    source = lab.folder / "data" / "trips" / "rows.parquet"
    source.parent.mkdir()
    pq.write_table(pa.table({name: [value] for name, value in row.items()}), source)
    with lab.served() as client:
        assert read(client, FARE) == ([1.0], ["PRESENT"])
    definitions = lab.folder / "definitions.py"
    added = 'Field(name="fare", dtype=Float64), Field(name="tip", dtype=Float64)'
    text = definitions.read_text(encoding="utf-8")
    definitions.write_text(text.replace('Field(name="fare", dtype=Float64)', added, 1), encoding="utf-8")
    pq.write_table(pa.table({name: [value] for name, value in {**row, "tip": 0.5}.items()}), source)
    with lab.served() as client:
        body = {**FARE, "features": ["trips:tip", "trips:fare"]}
        assert read(client, body) == ([0.5, 1.0], ["PRESENT", "PRESENT"])


def test_an_event_of_the_future_does_not_wedge_its_entity(lab: Lab) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    times = [now - HOUR, now + timedelta(days=900)]
    source = lab.folder / "data" / "trips" / "rows.parquet"
    source.parent.mkdir()
    columns = {"driver_id": [1, 1], "customer_id": ["c", "c"], "fare": [1.0, 9.0], "name": pa.nulls(2, pa.string())}
    pq.write_table(pa.table({**columns, "ts": times, "made": times}), source)
    with lab.served() as client:
        assert read(client, FARE) == ([1.0], ["PRESENT"])
        assert push(client, now + timedelta(days=900), fare=8.0)["rejected"] == 1
        assert push(client, now, fare=2.0)["applied"] == 1
        assert read(client, FARE) == ([2.0], ["PRESENT"])


def test_reads_go_on_while_a_view_is_being_materialized(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    config = yaml.safe_load((lab.folder / "feature_store.yaml").read_text(encoding="utf-8"))
    config["registry"] = "data/registry.db"  # Feast's SQL registry keeps no change of the state alone
    (lab.folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with lab.served() as client:
        push(client, datetime.now(UTC), fare=1.0)
    monkeypatch.chdir(lab.folder)
    stock = FeatureStore(repo_path=str(lab.folder))
    view = stock.get_feature_view("trips")
    view.state = FeatureViewState.MATERIALIZING
    stock.registry.apply_feature_view(view, stock.project)
    entities: Any = FARE["entities"]
    with pytest.raises(ValueError, match="MATERIALIZING"):
        stock.get_online_features(["trips:fare"], entities)
    with TestClient(create_app(Settings(feature_repo=lab.folder, online_timeout=5.0))) as client:
        assert read(client, FARE) == ([1.0], ["PRESENT"])
        # Nor is what is written refused.
        assert push(client, datetime.now(UTC), fare=2.0)["applied"] == 1
        assert read(client, FARE) == ([2.0], ["PRESENT"])


@pytest.mark.full  # an application in two processes of their own
def test_the_order_of_features_does_not_follow_the_hash_seed(tmp_path: Path) -> None:
    lab = Lab(write_repo(tmp_path))
    with lab.served() as client:
        declared = client.get("/v1/online-features/both?driver_id=1&customer_id=c&full_feature_names=true").json()
    program = (
        "from app.settings import Settings; from app.main import create_app\n"
        "from fastapi.testclient import TestClient; from pathlib import Path; import json, sys\n"
        "with TestClient(create_app(Settings(feature_repo=Path(sys.argv[1])))) as client:\n"
        "    query = 'driver_id=1&customer_id=c&full_feature_names=true'\n"
        "    answer = client.get(f'/v1/online-features/both?{query}').json()\n"
        "    print('ANSWER' + json.dumps(list(answer['features'])))\n"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program, str(lab.folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.partition("ANSWER")[2].strip() == str(list(declared["features"])).replace("'", '"')
    assert list(declared["features"]) == ["drivers__name", "drivers__i64", "trips__name", "trips__fare"]
