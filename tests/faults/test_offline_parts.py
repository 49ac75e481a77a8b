"""Parquet sources under kill -9, many writers at once, a full disk and a folder in which nothing may be written."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq
import pytest

from app.errors import StoreUnavailableError
from app.settings import PROJECT_ROOT
from app.stores.offline_parts import PartFiles
from tests.contract.offline import OfflineCase, opened, sensors, write_offline_repo

_MANY = 1_000_000


@pytest.fixture(params=["folder", "single file"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def files(kind: str, tmp_path: Path) -> Iterator[OfflineCase]:
    """An empty source of each kind."""
    write_offline_repo(kind, tmp_path, None)
    with opened(kind, tmp_path) as case:
        yield case


def start(folder: Path, first: int, rows: int, mode: str) -> subprocess.Popen[str]:
    """A writer, ready to write."""
    argv = [sys.executable, "-m", "tests.faults.offline_writer", str(folder), str(first), str(rows), mode]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, cwd=PROJECT_ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def acknowledged(said: str) -> list[int]:
    """The rows that a writer called durable; a line that the end cut off does not count."""
    return [int(number) for number in re.findall(r"^acknowledged (\d+)\n", said, re.MULTILINE)]


def until_killed(said: IO[str]) -> Iterator[str]:
    """What a child said before it was killed; an end without that would be read as empty lines for ever."""
    for line in iter(said.readline, "killed\n"):
        assert line, "the process that starts the writers has ended"
        yield line


def seen(folder: Path, kind: str) -> list[int]:
    """The sensors that our readers see, with every row."""
    files = PartFiles(folder / "data" / ("readings" if kind == "folder" else "readings.parquet"))
    with files.reading():
        return sorted(n for file in files.files() for n in pq.read_table(file, columns=["sensor_id"])[0].to_pylist())


def check(found: list[int], promised: list[int], most: int) -> None:
    """Every promised row once; of the others at most the group that was in the middle."""
    assert len(found) == len(set(found)), "a row is there twice"
    assert set(promised) <= set(found), "an acknowledged row is lost"
    assert len(found) <= len(promised) + most


@pytest.mark.full  # half a minute
def test_kill_9_at_any_point_loses_and_doubles_nothing(kind: str, tmp_path: Path) -> None:
    write_offline_repo(kind, tmp_path, None)
    promised: list[int] = []
    process = start(tmp_path, 0, _MANY, "killed")
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for number in range(25):
            process.stdin.write("go\n")
            process.stdin.flush()
            promised += acknowledged("".join(until_killed(process.stdout)))
            check(seen(tmp_path, kind), promised, 5 * (number + 1))
        process.stdin.close()
    assert len(promised) > 100
    with opened(kind, tmp_path) as case:
        case.store.append_batch([case.view], sensors(-1))
        case.store.compact([case.view])
        assert case.sensors() == seen(tmp_path, kind)
        check(case.sensors(), [*promised, -1], 5 * 25)


@pytest.mark.full  # eight processes that import Feast, on two cores
def test_eight_processes_append_while_two_compact(kind: str, tmp_path: Path) -> None:
    write_offline_repo(kind, tmp_path, None)
    writers = [start(tmp_path, number * _MANY, 60, "compact" if number % 2 else "append") for number in range(8)]
    compactors = [start(tmp_path, 0, 1, "only-compact") for _ in range(2)]
    try:
        while any(writer.poll() is None for writer in writers):
            found = seen(tmp_path, kind)
            assert len(found) == len(set(found))
        said = [writer.communicate(timeout=60)[0] for writer in writers]
    finally:
        for process in [*writers, *compactors]:
            process.kill()
            process.communicate()
    promised = sorted(number for text in said for number in acknowledged(text))
    assert len(promised) == 8 * 60
    assert [writer.returncode for writer in writers] == [0] * 8
    assert seen(tmp_path, kind) == promised


def nothing_left(case: OfflineCase) -> None:
    """No file, whole or partial, but the locks."""
    left = [path.name for path in (case.folder / "data").rglob("*") if path.is_file() and "readings" in str(path)]
    assert left == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the disk is full; free some space"),
        (errno.EROFS, "its folder cannot be written (Read-only file system); let this process write there"),
    ],
)
@pytest.mark.parametrize("when", ["the file is synced", "the folder is synced"])
def test_a_disk_that_refuses_keeps_nothing_and_says_so(
    files: OfflineCase, monkeypatch: pytest.MonkeyPatch, code: int, says: str, when: str
) -> None:
    real, calls = os.fsync, 0
    folders = {"folder": 1, "single file": 0}[files.kind]  # which is made, and synced, first

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls - folders == (1 if when == "the file is synced" else 2):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(StoreUnavailableError) as caught:
            files.store.append_batch([files.view], sensors(1))
    assert caught.value.detail == f"Nothing was kept in source s: {says}"
    nothing_left(files)
    files.store.append_batch([files.view], sensors(1))
    assert files.sensors() == [1]


@pytest.mark.full  # a process each
def test_a_file_that_may_not_grow_leaves_no_part_of_itself(files: OfflineCase) -> None:
    """The kernel cuts the write itself off, by a limit on the size of files, which is a process's own."""
    files.store.append_batch([files.view], sensors(1))
    before = files.files()
    process = start(files.folder, 2, 1, "limited")
    said, _ = process.communicate(timeout=60)
    assert (said, process.returncode) == ("Nothing was kept in source s: the disk is full; free some space\n", 0)
    assert files.files() == before
    assert list((files.folder / "data").rglob(".*.tmp")) == []
    files.store.append_batch([files.view], sensors(2))
    assert files.sensors() == [1, 2]


def test_a_compaction_without_space_changes_nothing(files: OfflineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(70):
        files.store.append_batch([files.view], sensors(number))

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        assert files.store.compact([files.view]) == 0
    assert files.sensors() == list(range(70))
    assert list((files.folder / "data").rglob(".*.tmp")) == []
    assert files.store.compact([files.view]) >= 69
    assert files.sensors() == list(range(70))


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    write_offline_repo("folder", tmp_path, None)
    (tmp_path / "data" / "readings").write_text("in the way", encoding="utf-8")
    with opened("folder", tmp_path) as case:
        with pytest.raises(StoreUnavailableError, match="its folder cannot be written"):
            case.store.append_batch([case.view], sensors(1))
        (tmp_path / "data" / "readings").unlink()
        case.store.append_batch([case.view], sensors(1))
        assert case.sensors() == [1]
