"""`freshet export` on both profiles: a training set with its manifest, in every format, and the same one again."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from tests.integration.profiles import Profile
from tests.integration.pushes import event, push
from tests.integration.server_process import run_here

FEATURES = ["--feature", "user_realtime:current_session_messages", "--feature", "user_activity:sessions_7d"]
MINUTE = timedelta(minutes=1)


def labels(folder: Path, *rows: tuple[str, datetime]) -> Path:
    """A spine file: users, times, and a label that must come back."""
    place = folder / "labels.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "label", "event_timestamp"])
        writer.writerows((user, f"00{number}", at.isoformat()) for number, (user, at) in enumerate(rows))
    return place


def _messages(target: Path) -> list[int | None]:
    """One feature of a result in any format."""
    name = "current_session_messages"
    if target.suffix == ".jsonl":
        return [orjson.loads(line)[name] for line in target.read_bytes().splitlines()]
    if target.suffix == ".arrow":
        with pa.memory_map(str(target)) as source:
            found: list[int | None] = pa.ipc.open_file(source).read_all()[name].to_pylist()
            return found
    table = pq.read_table(target) if target.suffix == ".parquet" else pa.csv.read_csv(target)
    values: list[int | None] = table[name].to_pylist()
    return values


def test_a_training_set_in_every_format_and_once_more(profile: Profile, client: TestClient, tmp_path: Path) -> None:
    noon = datetime.now(UTC) - 5 * MINUTE
    push(client, event("exported", noon, 3), event("exported", noon - MINUTE, 2))
    spine = labels(tmp_path, ("exported", noon), ("u1", noon), ("exported", noon - MINUTE), ("nobody", noon))
    wanted = [3, None, 2, None]
    for form in ("parquet", "csv", "arrow", "jsonl"):
        target = tmp_path / "out" / f"training.{form}"
        done = run_here(
            "export", *FEATURES, "--spine", str(spine), "--out", str(target), environment=profile.environment
        )
        assert (done.returncode, done.stderr.count("error")) == (0, 0), done
        assert "4 rows" in done.stdout
        assert "current_session_messages: 50% not found" in done.stdout
        found = _messages(target)
        assert found == wanted
    manifest = json.loads((tmp_path / "out" / "training.parquet.manifest.json").read_text())
    assert manifest["spine"]["rows"] == manifest["rows"] == 4
    assert [column["name"] for column in manifest["schema"]][:3] == ["user_id", "label", "event_timestamp"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")) == []


def test_the_same_again_although_rows_have_come_and_not_where_they_were_there_before(
    profile: Profile, client: TestClient, tmp_path: Path
) -> None:
    noon = datetime.now(UTC) - 5 * MINUTE
    push(client, event("again", noon - MINUTE, 2))
    spine, target = labels(tmp_path, ("again", noon)), tmp_path / "training.parquet"
    arguments = ["--spine", str(spine), "--out", str(target)]
    assert run_here("export", *FEATURES, *arguments, environment=profile.environment).returncode == 0
    manifest = f"{target}.manifest.json"
    push(client, event("again", noon, 9))  # late, and created after the export
    same = run_here("export", "--reproduce", manifest, environment=profile.environment)
    assert (same.returncode, "the same 1 rows" in same.stdout) == (0, True), same
    before = (noon - MINUTE).isoformat()
    push(client, event("again", noon, 7, created_timestamp=before))
    other = run_here("export", "--reproduce", manifest, environment=profile.environment)
    assert other.returncode == 1
    assert "The data differ: sha256" in other.stdout
    assert target.is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--service", "nope"], "There is no feature service nope. Known: assistant_v1"),
        ([], "Name either a feature service or features"),
        (["--feature", "user_activity:nope"], "has no feature nope"),
        ([*FEATURES, "--format", "xls"], "xls is no format; known are parquet, csv, arrow, jsonl"),
    ],
)
def test_faults_are_one_line(profile: Profile, tmp_path: Path, arguments: list[str], says: str) -> None:
    spine = labels(tmp_path, ("u1", datetime.now(UTC)))
    target = tmp_path / "training.parquet"
    done = run_here("export", *arguments, "--spine", str(spine), "--out", str(target), environment=profile.environment)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not target.exists()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("s3://bucket", "--out: it names no file; write a bucket and a name"),
        ("s3://bucket/", "--out: '' is no name of a file"),
        ("file:///", "--out: '' is no name of a file"),
        ("o\\x.csv", "is no name of a file"),
        (".", "--out: it is a folder"),
        ("new/", "--out: it is a folder"),
        ("{folder}", "--out: it is a folder"),
        (f"{190 * 'x'}y", "--out: the name is too long; at most 190 bytes"),
        ("{folder}/labels.csv", "--out: it is the spine"),
        ("file://{folder}/labels.csv", "--out: it is the spine"),
    ],
)
def test_a_target_that_is_no_file_of_its_own(profile: Profile, tmp_path: Path, target: str, says: str) -> None:
    spine = labels(tmp_path, ("u1", datetime.now(UTC)))
    before = spine.read_bytes()
    out = target.format(folder=tmp_path)
    done = run_here(
        "export", *FEATURES, "--spine", str(spine), "--out", out, "--format", "csv", environment=profile.environment
    )
    assert done.returncode == 1, done
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert spine.read_bytes() == before
    assert list(tmp_path.iterdir()) == [spine]


def test_there_are_no_data_without_a_manifest(profile: Profile, tmp_path: Path) -> None:
    spine, name = labels(tmp_path, ("u1", datetime.now(UTC))), f"{186 * 'x'}.csv"
    (tmp_path / f"{name}.manifest.json").mkdir()
    arguments = ["export", *FEATURES, "--spine", str(spine), "--out"]
    done = run_here(*arguments, str(tmp_path / name), environment=profile.environment)
    assert (done.returncode, "could not be written" in done.stderr) == (1, True), done
    assert sorted(tmp_path.iterdir()) == [spine, tmp_path / f"{name}.manifest.json"]
    (tmp_path / f"{name}.manifest.json").rmdir()
    assert run_here(*arguments, str(tmp_path / name), environment=profile.environment).returncode == 0


def test_a_spine_that_lacks_what_is_needed(profile: Profile, tmp_path: Path) -> None:
    spine = tmp_path / "spine.csv"
    spine.write_text("user,when\nu1,2026-11-22\n", encoding="utf-8")
    done = run_here(
        "export", *FEATURES, "--spine", str(spine), "--out", str(tmp_path / "t.csv"), environment=profile.environment
    )
    assert done.returncode == 1
    assert "user_id" in done.stderr
    assert "event_timestamp" in done.stderr
