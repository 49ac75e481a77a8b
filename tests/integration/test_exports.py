"""Exports over HTTP: ordered from a server, made by its worker, followed, fetched, cancelled."""

from __future__ import annotations

import hashlib
import io
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.integration.profiles import Profile
from tests.integration.server_process import FreshetServer, background_workers, run, serving
from tests.repos.everything import write_repo

SERVICE = "assistant_v1"
FEATURES = ["user_activity:sessions_7d", "user_realtime:current_session_messages"]


@pytest.fixture(scope="module")
def folder(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exports are kept."""
    return tmp_path_factory.mktemp("exporting")


@pytest.fixture(scope="module")
def server(profile: Profile, folder: Path) -> Iterator[FreshetServer]:
    """A server with its worker, over each profile in turn."""
    environment = {**profile.environment, "FRESHET_EXPORTS_DIR": str(folder / "exports")}
    with serving("serve", environment=environment, folder=folder, worker=True) as server:
        yield server


def order(server: FreshetServer, **body: Any) -> str:
    """The id of an export that was ordered."""
    answer = server.post("/v1/exports", body)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/exports/{found}"
    assert answer.json()["state"] in ("queued", "running")
    return found


def end(server: FreshetServer, export_id: str) -> dict[str, Any]:
    """What an export has become, as its events tell."""
    told: list[dict[str, Any]] = []
    with httpx.stream("GET", f"{server.url}/v1/exports/{export_id}/events", timeout=120) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: "):
                told.append(orjson.loads(line[6:]))
    assert told[-1] == server.get(f"/v1/exports/{export_id}").json()
    return told[-1]


def wait_for_work(server: FreshetServer, export_id: str) -> None:
    """Return when a worker is at the export."""
    with httpx.stream("GET", f"{server.url}/v1/exports/{export_id}/events", timeout=120) as events:
        for line in events.iter_lines():
            if line.startswith("data: ") and orjson.loads(line[6:])["progress"]["phase"]:
                return


def spine(*users: str) -> list[dict[str, Any]]:
    """A row each, now."""
    now = datetime.now(UTC).isoformat()
    return [{"user_id": user, "event_timestamp": now, "label": number} for number, user in enumerate(users)]


def test_an_export_from_its_order_to_its_manifest(server: FreshetServer) -> None:
    export_id = order(server, feature_service=SERVICE, spine=spine("u1", "nobody", "u1"))
    ended = end(server, export_id)
    assert (ended["state"], ended["rows"], ended["error"]) == ("succeeded", 3, None)
    assert ended["progress"] == {"phase": "write", "rows_done": 3, "rows_total": 3}
    answer = server.get(f"/v1/exports/{export_id}/data")
    table = pq.read_table(io.BytesIO(answer.content))
    assert table["user_id"].to_pylist() == ["u1", "nobody", "u1"]
    assert table["sessions_7d"].null_count == 1
    part = httpx.get(f"{server.url}/v1/exports/{export_id}/data", headers={"range": "bytes=0-3"}, timeout=60)
    assert (part.status_code, part.content) == (206, b"PAR1")
    manifest = server.get(f"/v1/exports/{export_id}/manifest").json()
    assert manifest["data"]["sha256"] == ended["sha256"] == answer.headers["etag"].strip('"')
    assert manifest["spine"]["origin"] == "inline"
    given = pq.read_table(io.BytesIO(server.get(f"/v1/exports/{export_id}/spine").content))
    assert given["label"].to_pylist() == [0, 1, 2]
    assert export_id in [one["id"] for one in server.get("/v1/exports?state=succeeded").json()["exports"]]


def test_an_uploaded_file(server: FreshetServer) -> None:
    rows = "user_id,event_timestamp,code\nu1,2026-11-22,007\nnobody,2026-11-22,010\n"
    answer = httpx.post(
        f"{server.url}/v1/exports",
        data={"request": orjson.dumps({"features": FEATURES, "format": "csv"}).decode()},
        files={"spine": ("labels.csv", rows.encode())},
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    ended = end(server, answer.json()["id"])
    assert ended["state"] == "succeeded"
    data = server.get(f"/v1/exports/{ended['id']}/data")
    assert data.headers["content-type"].startswith("text/csv")
    table = pa.csv.read_csv(io.BytesIO(data.content))
    assert table.column_names == ["user_id", "event_timestamp", "code", "sessions_7d", "current_session_messages"]
    assert table.num_rows == 2


def test_every_entity_of_a_view_at_regular_times(server: FreshetServer) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    times = {"start": start.isoformat(), "end": (start + timedelta(hours=12)).isoformat(), "every": "6h"}
    everyone = order(server, features=FEATURES[:1], spine={"entities": "user_activity", **times}, format="jsonl")
    two = order(server, features=FEATURES[:1], spine={"entities": {"user_id": ["u1", "u2"]}, **times}, format="arrow")
    assert end(server, two)["rows"] == 6
    ended = end(server, everyone)
    assert ended["state"] == "succeeded"
    lines = server.get(f"/v1/exports/{everyone}/data").content.splitlines()
    users = {orjson.loads(line)["user_id"] for line in lines}
    assert len(users) > 300
    assert ended["rows"] == len(lines) == 3 * len(users)


def test_what_is_wrong_with_an_order_is_told_at_once(server: FreshetServer) -> None:
    for status, body in (
        (422, {"feature_service": SERVICE}),
        (422, {"feature_service": SERVICE, "spine": [{"user_id": 1, "event_timestamp": "soon"}]}),
        (404, {"feature_service": "nope", "spine": spine("u1")}),
        (422, {"features": FEATURES, "spine": spine("u1"), "format": "xls"}),
        (422, {"features": FEATURES, "spine": {"entities": "user_activity", "start": 0, "end": "2e9", "every": "1us"}}),
    ):
        answer = server.post("/v1/exports", body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert server.get("/v1/exports/nope").status_code == 404
    assert server.get("/v1/exports/nope/data").status_code == 404


def test_a_cancelled_export_has_no_result_and_leaves_nothing(server: FreshetServer, folder: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    long = {"entities": {"user_id": ["u1"]}, "start": start.isoformat(), "end": "2026-11-01T00:00:00Z", "every": "20s"}
    export_id = order(server, feature_service=SERVICE, spine=long)
    wait_for_work(server, export_id)
    began = time.monotonic()
    assert httpx.delete(f"{server.url}/v1/exports/{export_id}", timeout=60).status_code == 200
    assert end(server, export_id)["state"] == "cancelled"
    assert time.monotonic() - began < 2
    assert server.get(f"/v1/exports/{export_id}/data").status_code == 409
    assert server.get(f"/v1/exports/{export_id}/manifest").status_code == 409
    assert not (folder / "exports" / export_id).exists()


@pytest.mark.full  # a worker has to be missed
def test_the_export_of_a_killed_worker_is_made_once_by_its_successor(server: FreshetServer, folder: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    long = {"entities": {"user_id": ["u1"]}, "start": start.isoformat(), "end": "2026-11-01T00:00:00Z", "every": "20s"}
    export_id = order(server, features=FEATURES, spine=long)
    wait_for_work(server, export_id)
    (worker,) = background_workers(server.process.family()[0])
    worker.kill()
    ended = end(server, export_id)
    assert (ended["state"], ended["rows"]) == ("succeeded", 1_313_281)
    files = sorted(path.name for path in (folder / "exports" / export_id).iterdir())
    name = f"{export_id}-2.parquet"
    assert files == [name, f"{name}.manifest.json", "spine.parquet"]
    assert hashlib.sha256((folder / "exports" / export_id / name).read_bytes()).hexdigest() == ended["sha256"]


@pytest.mark.full  # a server of its own
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_stops_does_not_wait_for_those_who_follow(tmp_path: Path, number: signal.Signals) -> None:
    repo = write_repo(tmp_path / "repo")
    environment = {"FRESHET_FEATURE_REPO": str(repo), "FRESHET_DATA_DIR": str(tmp_path / "data")}
    assert run("apply", environment=environment, folder=tmp_path).returncode == 0
    with serving("serve", environment=environment, folder=tmp_path) as server:
        rows = [{"driver_id": 1, "event_timestamp": datetime.now(UTC).isoformat()}]
        export_id = order(server, features=["drivers:i64"], spine=rows)  # without a worker nobody makes it
        with httpx.stream("GET", f"{server.url}/v1/exports/{export_id}/events", timeout=120) as events:
            lines = events.iter_lines()
            assert next(lines) == "event: export"
            # uvicorn waits for connections for 10 s.
            assert server.stop(number, seconds=8) in (0, 130)
            assert [line for line in lines if line.startswith("event")] == []
