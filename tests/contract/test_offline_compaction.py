"""Compaction: fewer files, the same rows; what Freshet did not name is left alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.durable_files import sync_folder
from app.stores import offline_compaction, offline_merging
from app.stores.offline_parts import Merge, PartFiles
from tests.contract.offline import HOUR, NOON, OfflineCase, opened, sensors, write_offline_repo


@pytest.fixture(params=["folder", "single file"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OfflineCase]:
    """Both kinds of Parquet source."""
    write_offline_repo(request.param, tmp_path, None)
    with opened(request.param, tmp_path) as case:
        yield case


def parts(case: OfflineCase) -> PartFiles:
    """The files as our readers see them."""
    return PartFiles(case.folder / "data" / ("readings" if case.kind == "folder" else "readings.parquet"))


def seen(case: OfflineCase) -> list[int]:
    """The sensors that our readers see, with every row."""
    return sorted(n for file in parts(case).files() for n in pq.read_table(file, columns=["sensor_id"])[0].to_pylist())


def append(case: OfflineCase, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        case.store.append_batch([case.view], sensors(number))


def test_many_parts_become_one_and_no_row_is_lost_or_doubled(files: OfflineCase) -> None:
    append(files, 70)
    before = files.newest()
    assert len(files.files()) == 70
    assert files.store.compact([files.view]) >= 69
    assert len(files.files()) == 1
    assert files.sensors() == seen(files) == list(range(70))
    assert files.newest() == before
    assert [path.name for path in parts(files).folder.glob(".*.tmp")] == []
    # Another program that is given the folder, or the file, takes our own files in it for none of the data.
    assert len(pd.read_parquet(parts(files).base or parts(files).folder)) == 70
    append(files, 1, start=70)
    assert files.sensors() == list(range(71))


def test_few_parts_of_a_folder_are_left_as_they_are(tmp_path: Path) -> None:
    write_offline_repo("folder", tmp_path, None)
    with opened("folder", tmp_path) as case:
        append(case, 64)
        assert case.store.compact([case.view]) == 0
        assert len(case.files()) == 64


def test_what_others_named_and_what_replace_named_stays(tmp_path: Path) -> None:
    write_offline_repo("folder", tmp_path, None)
    with opened("folder", tmp_path) as case:
        append(case, 70)
        stamps = pa.array([NOON - HOUR], pa.timestamp("us", tz="UTC"))
        computed = pa.table({"sensor_id": [900], "raw_value": [1.0], "note": ["c"], "ts": stamps, "made": stamps})
        case.store.replace(case.view, computed, NOON - HOUR, NOON - HOUR)
        pandas = case.folder / "data" / "readings" / "part-0.parquet"
        computed.set_column(0, "sensor_id", pa.array([901])).to_pandas().to_parquet(pandas)
        assert case.store.compact([case.view]) == 70
        assert case.sensors() == [*range(70), 900, 901]
        assert len(case.files()) == 3
        case.store.replace(case.view, computed, NOON - HOUR, NOON - HOUR)
        assert case.sensors() == [*range(70), 900, 901]


def test_parts_of_another_type_are_merged_with_their_like(tmp_path: Path) -> None:
    write_offline_repo("folder", tmp_path, None)
    with opened("folder", tmp_path) as case:
        append(case, 40)
        folder = parts(case)
        for number in range(40, 80):
            stamps = pa.array([NOON], pa.timestamp("us", tz="UTC"))
            folder.add(pa.table({"sensor_id": pa.array([number], pa.int32()), "ts": stamps, "made": stamps}))
        assert case.store.compact([case.view]) == 80
        assert len(case.files()) == 2
        assert case.sensors() == list(range(80))
        assert len(case.newest()) == 80


def test_replacing_in_a_single_file_reaches_its_parts(tmp_path: Path) -> None:
    write_offline_repo("single file", tmp_path, None)
    base = tmp_path / "data" / "readings.parquet"
    stamps = pa.array([NOON, NOON - HOUR], pa.timestamp("us", tz="UTC"))
    columns = {"sensor_id": [1, 2], "raw_value": [1.0, 2.0], "note": ["c", "c"]}
    table = pa.table({**columns, "ts": stamps, "made": stamps})
    with opened("single file", tmp_path) as case:
        table.to_pandas().to_parquet(base)
        append(case, 3, start=3)  # parts, with the times of the first row
        assert len(case.files()) == 4
        case.store.replace(case.view, table.slice(0, 1).set_column(0, "sensor_id", pa.array([9])), NOON, NOON)
        assert case.files() == [base]
        assert case.sensors() == pd.read_parquet(base)["sensor_id"].to_list() == [2, 9]


class Killed(BaseException):
    """What stands for kill -9: no handler of ours sees it coming."""


@pytest.mark.parametrize("step", range(6))
def test_whoever_stops_in_the_middle_of_a_switch_the_rows_are_there_once(
    files: OfflineCase, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Every step of the switch in turn is the last one that takes place."""
    append(files, 70)
    reached = 0

    def counted(real: object) -> object:
        def call(*args: object, **options: object) -> object:
            nonlocal reached
            if reached == step:
                raise Killed
            reached += 1
            return real(*args, **options)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patched:
        patched.setattr(PartFiles, "write_journal", counted(PartFiles.write_journal))
        patched.setattr(offline_merging, "sync_folder", counted(sync_folder))
        patched.setattr(Path, "unlink", counted(Path.unlink))
        with pytest.raises(Killed):
            files.store.compact([files.view])
    assert seen(files) == list(range(70))
    assert len(files.newest()) == 70
    append(files, 1, start=70)
    files.store.compact([files.view])
    assert seen(files) == files.sensors() == list(range(71))
    assert parts(files).journal() is None


def test_a_reader_keeps_its_files_until_it_is_done(files: OfflineCase) -> None:
    append(files, 70)
    here = parts(files)
    done = threading.Event()

    def compact() -> None:
        files.store.compact([files.view])
        done.set()

    with here.reading():
        listed = here.files()
        thread = threading.Thread(target=compact)
        thread.start()
        # The merged file is being written, or waits for us: either way nothing is removed.
        assert not done.wait(1)
        assert all(file.exists() for file in listed)
    thread.join()
    assert done.is_set()
    assert not all(file.exists() for file in listed)
    assert seen(files) == list(range(70))


def test_a_second_one_leaves_the_merging_to_the_first(files: OfflineCase) -> None:
    append(files, 70)
    with offline_compaction._alone(parts(files).folder) as alone:
        assert alone
        assert files.store.compact([files.view]) == 0
    assert files.store.compact([files.view]) >= 69


def test_a_file_that_another_program_wrote_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_offline_repo("single file", tmp_path, None)
    with opened("single file", tmp_path) as case:
        append(case, 3)
        base = tmp_path / "data" / "readings.parquet"
        switch = offline_merging._switch

        def late(*args: object) -> None:
            pq.write_table(pq.read_table(base).slice(0, 1), base.with_suffix(".new"))
            base.with_suffix(".new").replace(base)
            switch(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(offline_merging, "_switch", late)
        written = base.stat().st_mtime_ns
        assert case.store.compact([case.view]) == 0
        assert base.stat().st_mtime_ns > written
        assert seen(case) == [0, 1, 2]


def test_a_journal_of_a_merge_that_never_came_hides_nothing(files: OfflineCase) -> None:
    append(files, 3)
    here = parts(files)
    here.write_journal(Merge("merged-gone.parquet", "0" * 32, tuple(path.name for path in here.files())))
    assert seen(files) == [0, 1, 2]


def test_a_file_that_cannot_be_read_stops_nothing_but_its_own_merge(files: OfflineCase) -> None:
    append(files, 70)
    damaged = parts(files).folder / f"part-20200101T000000000000-{0:08x}.parquet"
    damaged.write_bytes(b"PAR1 but not for long")
    assert files.store.compact([files.view]) == 0
    append(files, 1, start=70)
    damaged.unlink()
    assert files.store.compact([files.view]) >= 70
    assert seen(files) == list(range(71))
