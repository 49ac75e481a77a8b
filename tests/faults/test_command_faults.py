"""Commands that are asked for what cannot be: one line that names the option, and nothing is written."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.sample import write_sample_events
from tests.faults.starts import check
from tests.integration.server_process import run_here

FAULTS = {
    "an unknown view": (["compute", "--view", "nope"], "nope. Known: user_activity"),
    "a view without a pipeline": (["compute", "--view", "user_realtime"], "user_realtime. Known: user_activity"),
    "an unknown view to backfill": (["backfill", "nope", "--from", "2026-01-01", "--to", "2026-01-02"], "nope. Known:"),
    "an unknown view to materialize": (["materialize", "--view", "nope"], "nope. Known: user_activity, user_realtime"),
    "a bad time": (["compute", "--as-of", "yesterday"], "--as-of: "),
    "a bad known-at": (["compute", "--known-at", "32.13.2026"], "--known-at: "),
    "a bad first day": (["backfill", "user_activity", "--from", "?", "--to", "2026-01-02"], "--from: "),
    "a bad last day": (["backfill", "user_activity", "--from", "2026-01-01", "--to", ""], "--to: "),
    "a range the wrong way round": (
        ["backfill", "user_activity", "--from", "2026-02-01", "--to", "2026-01-01"],
        "--to",
    ),
    "a moment that has not come": (["compute", "--as-of", "2100-01-01"], "--as-of: "),
    "a knowledge that has not come": (["compute", "--known-at", "2100-01-01"], "--known-at: "),
    "a day that has not come": (["backfill", "user_activity", "--from", "2100-01-01", "--to", "2100-01-02"], "--"),
    "a bad start": (["materialize", "--start", "soon"], "--start: "),
    "a bad end": (["materialize", "--end", "later"], "--end: "),
    "an end before its start": (["materialize", "--start", "2026-02-01", "--end", "2026-01-01"], "--end"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the bundled definitions applied, and events of a few weeks."""
    folder = tmp_path_factory.mktemp("data")
    assert run_here("apply", environment={"FRESHET_DATA_DIR": str(folder)}).returncode == 0
    assert run_here("db", "upgrade", environment={"FRESHET_DATA_DIR": str(folder)}).returncode == 0
    write_sample_events(folder / "events", datetime(2026, 1, 29, tzinfo=UTC), lambda done, days: None)
    return folder


def written(data: Path) -> tuple[list[str], int]:
    """The feature files, and how many runs are recorded."""
    with closing(sqlite3.connect(data / "freshet.db")) as connection:
        (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    return sorted(path.name for path in data.glob("user_activity/*")), runs


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line(name: str, data: Path) -> None:
    arguments, says = FAULTS[name]
    check(run_here(*arguments, environment={"FRESHET_DATA_DIR": str(data)}), says)
    assert written(data) == ([], 0)


@pytest.mark.parametrize("reference", ["nowhere:X", "nowhere", "ingestion.pipelines:NOPE", "ingestion.events:UTC"])
def test_pipelines_that_cannot_be_loaded(reference: str, data: Path) -> None:
    environment = {"FRESHET_DATA_DIR": str(data), "FRESHET_PIPELINES": reference}
    check(run_here("compute", environment=environment), f"FRESHET_PIPELINES={reference} ")


def test_no_events(data: Path, tmp_path: Path) -> None:
    environment = {"FRESHET_DATA_DIR": str(data), "FRESHET_EVENTS_PATH": str(tmp_path / "events")}
    check(run_here("compute", environment=environment), str(tmp_path / "events"), "event files")


@pytest.mark.parametrize(
    "command", [("compute",), ("backfill", "user_activity", "--from", "2026-01-01", "--to", "2026-01-02")]
)
def test_before_the_first_apply(command: tuple[str, ...], tmp_path: Path) -> None:
    check(run_here(*command, environment={"FRESHET_DATA_DIR": str(tmp_path)}), "freshet apply")


@pytest.mark.parametrize("arguments", [["serve", "--port", "99999"], ["backfill", "user_activity"], ["nonsense"]])
def test_a_wrong_usage(arguments: list[str]) -> None:
    failed = run_here(*arguments, environment={})
    assert (failed.returncode, failed.stdout) == (2, "")
    assert re.search("--port|--from|nonsense", failed.stderr)
