"""Sample events on disk: what is written, topped up, refused and left alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.events import EVENT_SCHEMA, open_events
from ingestion.sample import SAMPLE_DAYS, write_sample_events
from ingestion.sample_day import day_events

NOW = datetime(2026, 5, 4, 15, 47, tzinfo=UTC)
TODAY = date(2026, 5, 4)


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def names(*back: int) -> list[str]:
    return sorted(f"sample-{TODAY - timedelta(days=number)}.parquet" for number in back)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_an_empty_folder_gets_four_weeks_of_complete_days(tmp_path: Path) -> None:
    rows = write_sample_events(tmp_path, NOW, silent)
    assert SAMPLE_DAYS == 28
    assert listing(tmp_path) == names(*range(1, 29))
    assert rows == open_events(tmp_path).count_rows() > 28 * 1_300


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    assert write_sample_events(tmp_path / "data" / "events", NOW, silent) > 0
    assert len(listing(tmp_path / "data" / "events")) == 28


def test_a_file_holds_its_day_compressed(tmp_path: Path) -> None:
    write_sample_events(tmp_path, NOW, silent)
    for day in (TODAY - timedelta(days=1), TODAY - timedelta(days=28)):
        file = pq.ParquetFile(tmp_path / f"sample-{day}.parquet")
        assert file.read() == day_events(day)
        assert file.schema_arrow == EVENT_SCHEMA
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    "until",
    [
        datetime(2026, 5, 4, tzinfo=UTC),
        datetime(2026, 5, 4, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 5, 4, 23),  # noqa: DTZ001 - naive times are UTC
        datetime(2026, 5, 5, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 5, 3, 23, tzinfo=timezone(timedelta(hours=-2))),
    ],
    ids=str,
)
def test_until_is_floored_to_midnight_utc(tmp_path: Path, until: datetime) -> None:
    write_sample_events(tmp_path, until, silent)
    assert listing(tmp_path) == names(*range(1, 29))


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    write_sample_events(tmp_path, NOW, silent)
    before = {path: path.stat() for path in tmp_path.iterdir()}
    assert write_sample_events(tmp_path, NOW + timedelta(hours=8), silent) == 0
    assert write_sample_events(tmp_path, NOW - timedelta(days=9), silent) == 0
    assert {path: path.stat() for path in tmp_path.iterdir()} == before


def test_a_later_run_adds_the_missing_days_and_touches_no_other(tmp_path: Path) -> None:
    write_sample_events(tmp_path, NOW, silent)
    before = {path: path.stat() for path in tmp_path.iterdir()}
    rows = write_sample_events(tmp_path, NOW + timedelta(days=3), silent)
    assert rows == sum(day_events(TODAY + timedelta(days=number)).num_rows for number in range(3))
    assert listing(tmp_path) == names(*range(-2, 29))
    assert {path: path.stat() for path in before} == before


def test_days_before_the_newest_sample_are_not_filled_in(tmp_path: Path) -> None:
    write_sample_events(tmp_path, NOW, silent)
    (tmp_path / names(7)[0]).unlink()
    write_sample_events(tmp_path, NOW + timedelta(days=1), silent)
    assert listing(tmp_path) == names(*range(7), *range(8, 29))


@pytest.mark.parametrize("name", ["events.parquet", "2026/05/part-0.parquet", "my-sample-2026-05-01.parquet"])
def test_a_folder_with_other_events_is_left_alone(tmp_path: Path, name: str) -> None:
    write_sample_events(tmp_path, NOW, silent)
    real = tmp_path / name
    real.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(EVENT_SCHEMA.empty_table(), real)
    before = listing(tmp_path)
    assert write_sample_events(tmp_path, NOW + timedelta(days=3), silent) == 0
    assert listing(tmp_path) == before


def test_files_that_are_no_events_do_not_matter(tmp_path: Path) -> None:
    for name in ("notes.txt", ".sample-2026-05-03.parquet.77.tmp", "sample-small.parquet", "sample-2026-13-99.parquet"):
        (tmp_path / name).touch()
    write_sample_events(tmp_path, NOW, silent)
    assert set(names(*range(1, 29))) <= set(listing(tmp_path))


def test_progress_counts_days(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_sample_events(tmp_path, NOW, lambda done, total: calls.append((done, total)))
    assert calls == [(done, 28) for done in range(1, 29)]


def test_half_a_file_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def write_half(table: pa.Table, path: Path, **options: Any) -> None:
        path.write_bytes(b"PAR1 and then the disk was full")
        seen.append([found.name for found in tmp_path.rglob("*.parquet")])
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", write_half)
    with pytest.raises(OSError, match="no space left"):
        write_sample_events(tmp_path, NOW, silent)
    assert seen == [[]]
    assert listing(tmp_path) == []


def test_a_run_that_was_cut_short_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def stop_after_five(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample_events(tmp_path, NOW, stop_after_five)
    assert listing(tmp_path) == names(*range(24, 29))
    write_sample_events(tmp_path, NOW, silent)
    assert listing(tmp_path) == names(*range(1, 29))
