"""The `freshet` command as people run it: from an empty folder to a served vector, and every step once more."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import pytest

from app.stores.sqlite_marks import MARK_KEY
from tests.integration.server_process import run, run_here, serving
from tests.repos.everything import write_repo
from tests.servers import Database

COMMANDS = ["up", "serve", "worker", "apply", "compute", "backfill", "materialize", "export", "freshness", "db"]

# For machines without curl: what the printed line needs of it.
CURL = f"""\
#!{sys.executable}
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[-1]).read().decode())
"""


def test_help_lists_the_commands_and_imports_nothing_heavy(tmp_path: Path) -> None:
    environment = {"PYTHONPROFILEIMPORTTIME": "1"}
    done = run("--help", environment=environment, folder=tmp_path)
    assert done.returncode == 0
    assert re.findall(r"^│ (\w+) +\S", done.stdout, re.MULTILINE) == COMMANDS
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "app.cli" in imported
    assert imported.isdisjoint({"feast", "pandas", "pyarrow", "sqlalchemy", "fastapi", "prometheus_client", "duckdb"})


@pytest.mark.parametrize("command", [*COMMANDS, "db upgrade"])
def test_every_command_has_help(command: str) -> None:
    done = run_here(*command.split(), "--help", environment={})
    assert (done.returncode, done.stderr) == (0, "")
    usage, _, description = (line.strip() for line in done.stdout.strip().splitlines()[:3])
    assert re.fullmatch(rf"Usage: .*freshet {command}( .*)?", usage)
    assert description[0].isupper()


def contents(folder: Path) -> dict[str, Any]:
    """All data in a data folder: its Parquet files down to the last bit, the rows of its databases."""
    files = {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*.parquet"))
    }
    online = {table: sorted(rows, key=repr) for table, rows in tables(folder / "online.db").items()}
    return {"files": files, "online": online, "runs": tables(folder / "freshet.db")["runs"]}


def tables(database: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


@dataclass(frozen=True)
class Life:
    """One `freshet up`: what it printed, what answered while it ran, and how it ended."""

    output: str
    vector: dict[str, Any]
    documents: dict[str, httpx.Response]
    status: int
    data: dict[str, Any]


def live(folder: Path, data: Path) -> Life:
    """Start, do what the banner says, press Ctrl-C."""
    environment = {"FRESHET_DATA_DIR": str(data)}
    with serving("up", environment=environment, folder=folder) as server:
        banner = server.output()
        (line,) = re.findall(r"^  (curl .*)$", banner, re.MULTILINE)
        if shutil.which("curl") is None:
            (folder / "curl").write_text(CURL)
            (folder / "curl").chmod(0o755)
            line = f"PATH={folder}:$PATH; {line}"
        answer = subprocess.run(line, shell=True, capture_output=True, check=True)  # noqa: S602 - a shell is the point
        documents = {
            name: httpx.get(*re.findall(rf"{name}: (http://\S+)", banner)) for name in ("Docs", "Metrics", "Ready")
        }
        status = server.stop(signal.SIGINT)
    assert [path for path in server.temporary.iterdir() if path.name.startswith("freshet")] == []
    return Life(server.output(), orjson.loads(answer.stdout), documents, status, contents(data))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the bundled repo, which does not exist before the first start."""
    return tmp_path_factory.mktemp("up") / "data"


@pytest.fixture(scope="module")
def lives(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Life]:
    """Two lives of the same folder, on the same day."""
    while True:
        day = datetime.now(UTC).date()
        found = [live(tmp_path_factory.mktemp("life"), data) for _ in range(2)]
        if day == datetime.now(UTC).date():
            return found
        shutil.rmtree(data)


@pytest.mark.parametrize("life", [0, 1])
def test_up_serves_what_its_own_curl_line_asks_for(lives: list[Life], life: int) -> None:
    vector = lives[life].vector
    assert vector["feature_service"] == "assistant_v1"
    assert vector["statuses"]["sessions_7d"] == "PRESENT"
    assert vector["features"]["sessions_7d"] > 0
    assert vector["statuses"]["tokens_per_message"] == "PRESENT"


@pytest.mark.parametrize("life", [0, 1])
def test_docs_metrics_and_readiness_are_where_it_says(lives: list[Life], life: int) -> None:
    documents = lives[life].documents
    assert {name: answer.status_code for name, answer in documents.items()} == {
        "Docs": 200,
        "Metrics": 200,
        "Ready": 200,
    }
    assert "swagger" in documents["Docs"].text
    assert 'freshet_served_values_total{feature_view="user_activity",status="PRESENT"} 6.0' in documents["Metrics"].text
    assert documents["Ready"].json()["status"] == "ready"


@pytest.mark.parametrize("life", [0, 1])
def test_ctrl_c_ends_it_cleanly(lives: list[Life], life: int) -> None:
    assert lives[life].status in (0, 130)
    assert "Stopped." in lives[life].output


def test_ctrl_c_before_it_serves(tmp_path: Path) -> None:
    environment = {"FRESHET_DATA_DIR": str(tmp_path / "data")}
    with serving("up", environment=environment, folder=tmp_path, ready=None) as server:
        server.wait_for("the first step", lambda: "Metadata database ready" in server.output())
        assert server.stop(signal.SIGINT) == 130
    assert "Freshet serves" not in server.output()
    assert [path for path in server.temporary.iterdir() if path.name.startswith("freshet")] == []


def test_the_first_start_does_everything(lives: list[Life]) -> None:
    output = lives[0].output
    for kind in ("project freshet", "entity user_id", "feature view user_activity", "feature service assistant_v1"):
        assert f"  + {kind}\n" in output
    for bar in ("Sample events", "Compute user_activity", "Materialize user_activity"):
        assert re.search(rf"^{bar} .*━.* (\d+)/\1 ", output, re.MULTILINE), bar
    assert {kind for _, _, kind, *_ in lives[0].data["runs"]} == {"compute", "materialize"}


def test_a_second_start_changes_no_data_and_says_so(lives: list[Life]) -> None:
    first, second = lives
    assert second.data == first.data
    assert len(first.data["files"]) > 28
    assert sum(map(len, first.data["online"].values())) > 1000
    assert "Registry is up to date." in second.output
    assert re.search(r"user_activity: .*7 computed before", second.output)
    assert "Materialize" not in second.output
    assert {**second.vector, "event_timestamps": {}} == {**first.vector, "event_timestamps": {}}


@pytest.fixture(scope="module")
def done(lives: list[Life], data: Path) -> dict[str, str]:
    """The environment of the folder after both lives."""
    return {"FRESHET_DATA_DIR": str(data)}


def test_apply_of_what_is_there_already(done: dict[str, str], data: Path, tmp_path: Path) -> None:
    before = tables(data / "registry.db")["feature_views"]
    again = run("apply", environment=done, folder=tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "Registry is up to date.\n", "")
    assert tables(data / "registry.db")["feature_views"] == before


@pytest.mark.full  # a process each time
def test_compute_of_an_old_day(done: dict[str, str], data: Path, tmp_path: Path) -> None:
    day = datetime.now(UTC).date() - timedelta(days=10)
    first = run("compute", "--as-of", day.isoformat(), environment=done, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    (rows,) = map(int, re.findall(r"user_activity: (\d+) rows for 1 moments", first.stdout))
    assert rows > 300
    before = contents(data)
    (file,) = [name for name in before["files"] if f"as_of={day:%Y%m%d}" in name]

    again = run_here("compute", "--as-of", f"{day}T00:00:00Z", environment=done)
    assert "0 rows for 0 moments, 1 computed before" in again.stdout
    assert contents(data) == before

    forced = run_here("compute", "--as-of", day.isoformat(), "--force", environment=done)
    assert f"{rows} rows for 1 moments" in forced.stdout
    after = contents(data)
    assert after["files"].keys() == before["files"].keys()
    assert after["files"][file][1] == before["files"][file][1]
    assert len(after["runs"]) == len(before["runs"]) + 1


def test_what_came_late_counts_only_when_asked_for(done: dict[str, str], data: Path) -> None:
    day = datetime.now(UTC).date() - timedelta(days=9)
    then = run_here("compute", "--as-of", day.isoformat(), environment=done)
    files = contents(data)["files"].keys()
    now = run_here("compute", "--as-of", day.isoformat(), "--known-at", f"{day + timedelta(days=5)}", environment=done)
    (rows_then,), (rows_now,) = (re.findall(r"(\d+) rows for 1 moments", out.stdout) for out in (then, now))
    assert int(rows_now) >= int(rows_then)
    (file,) = contents(data)["files"].keys() - files
    assert f"as_of={day:%Y%m%d}" in file
    assert f"known_at={day + timedelta(days=5):%Y%m%d}" in file


@pytest.mark.full  # a process each time
def test_backfill_of_a_range_of_days(done: dict[str, str], data: Path, tmp_path: Path) -> None:
    last = datetime.now(UTC).date() - timedelta(days=14)
    days = [last - timedelta(days=number) for number in (2, 1, 0)]
    arguments = ["backfill", "user_activity", "--from", days[0].isoformat(), "--to", days[2].isoformat()]
    first = run(*arguments, environment=done, folder=tmp_path)
    assert re.search(r"user_activity: [\d,]+ rows for 3 moments\n", first.stdout), first.stderr
    before = contents(data)
    assert {f"as_of={day:%Y%m%d}" for day in days} <= {re.sub("T.*", "", Path(name).name) for name in before["files"]}
    assert "0 rows for 0 moments, 3 computed before" in run_here(*arguments, environment=done).stdout
    assert contents(data) == before
    assert "for 3 moments\n" in run_here(*arguments, "--force", environment=done).stdout
    assert {name: content for name, (_, content) in contents(data)["files"].items()} == {
        name: content for name, (_, content) in before["files"].items()
    }


def test_materialize_of_one_view(done: dict[str, str], data: Path, tmp_path: Path) -> None:
    # Rows of entities have a key; that of the mark says when the last write was.
    before = [row for row in tables(data / "online.db")["freshet_user_activity"] if row[0]]
    with closing(sqlite3.connect(data / "online.db")) as connection:
        connection.execute("DELETE FROM freshet_user_activity")
        connection.commit()
    arguments = ["materialize", "--view", "user_activity", "--start", "2020-01-01"]
    first = run(*arguments, environment=done, folder=tmp_path)
    ((read, applied),) = re.findall(r"user_activity: (\d+) rows read, (\d+) applied", first.stdout)
    assert read == applied
    assert "user_realtime" not in first.stdout
    online = contents(data)["online"]
    # The older days that other tests have computed know users who have been silent since. The mark of the write, which
    # belongs to no user, tells of another one.
    assert {row for row in before if row[0] != MARK_KEY} <= set(online["freshet_user_activity"])
    again = run_here(*arguments, environment=done)
    assert f"user_activity: {read} rows read, 0 applied" in again.stdout
    assert contents(data)["online"] == online


def test_apply_keeps_and_names_what_the_repo_no_longer_has(tmp_path: Path) -> None:
    repo = write_repo(tmp_path)
    environment = {"FRESHET_FEATURE_REPO": str(repo)}
    assert "  + feature view trips\n" in run_here("apply", environment=environment).stdout
    (repo / "definitions.py").write_text(
        "from feast import Entity, ValueType\n\n"
        "driver = Entity(name='driver', join_keys=['driver_id'], value_type=ValueType.INT64)\n"
    )
    for _ in range(2):
        again = run_here("apply", environment=environment)
        assert (again.returncode, again.stderr) == (0, "")
        assert "  = feature view trips  no longer in the repo; kept\n" in again.stdout
        assert "driver\n" not in again.stdout
        assert again.stdout.endswith("Registry is up to date.\n")
    assert "trips" in {name for name, *_ in tables(repo / "data/registry.db")["feature_views"]}
    assert "lab_trips" in tables(repo / "data/online.db")


def test_db_upgrade_of_postgresql(postgres_database: Database, tmp_path: Path) -> None:
    environment = {"FRESHET_DATABASE_URL": postgres_database.sqlalchemy_url, "FRESHET_DATA_DIR": str(tmp_path / "none")}
    done = [run("db", "upgrade", environment=environment, folder=tmp_path) for _ in range(2)]
    assert [(each.returncode, each.stdout) for each in done] == [
        (0, "Upgraded.\n"),
        (0, "Already at the newest revision.\n"),
    ]
    assert [each.stderr for each in done] == ["", ""]
    assert not (tmp_path / "none").exists()
