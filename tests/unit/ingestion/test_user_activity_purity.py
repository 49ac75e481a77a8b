"""`compute` gives the same rows whenever, wherever and from whatever container it is run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from ingestion import user_activity
from ingestion.events import EVENT_SCHEMA, open_events
from ingestion.sample_day import day_events
from ingestion.user_activity import compute

AS_OF = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def sample(days: int = 10) -> pa.Table:
    return pa.concat_tables([day_events(date(2026, 5, 4) - timedelta(days=back)) for back in range(1, days + 1)])


def test_times_are_taken_as_utc() -> None:
    zone = timezone(timedelta(hours=-4))
    naive = AS_OF.replace(tzinfo=None)
    events = sample()
    expected = compute(events, AS_OF, AS_OF + HOUR)
    assert compute(events, naive, naive + HOUR) == expected
    assert compute(events, AS_OF.astimezone(zone), (AS_OF + HOUR).astimezone(zone)) == expected


def test_yesterday_recomputed_today_is_what_it_was() -> None:
    yesterday = AS_OF - DAY
    everything = sample()
    known_then = everything.filter(pads.field("arrival_time") <= pa.scalar(yesterday))
    then, now = compute(known_then, yesterday), compute(everything, yesterday)
    assert known_then.num_rows < everything.num_rows
    assert then.num_rows > 100
    assert now == then
    assert compute(everything, yesterday, AS_OF) != then


def test_order_chunks_and_threads_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    events = sample()
    events = events.set_column(4, "duration_sec", pa.array(random.random(events.num_rows) * 1e7))
    # Copies that arrive together and differ: the harder case of a tie.
    twins = events.slice(0, 2_000).set_column(5, "message_count", pa.array(random.integers(0, 9, 2_000)))
    events = pa.concat_tables([events, twins])
    expected = compute(events, AS_OF)

    connect = user_activity._connect

    def connect_with(threads: int) -> duckdb.DuckDBPyConnection:
        connection = connect()
        connection.execute(f"SET threads = {threads}")
        return connection

    for threads in (1, 2, 8):
        monkeypatch.setattr(user_activity, "_connect", partial(connect_with, threads))
        shuffled = events.take(pa.array(random.permutation(events.num_rows)))
        pieces = [shuffled.slice(start, 1_000) for start in range(0, shuffled.num_rows, 1_000)]
        assert compute(pa.concat_tables(pieces), AS_OF) == expected


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_the_time_zone_of_the_machine_does_not_matter(tmp_path: Path, zone: str) -> None:
    pq.write_table(sample(), tmp_path / "events.parquet")
    program = (
        "import sys, hashlib; from datetime import datetime; from pathlib import Path\n"
        "from ingestion.events import open_events; from ingestion.user_activity import compute\n"
        "rows = compute(open_events(Path(sys.argv[1])), datetime(2026, 5, 4), datetime(2026, 5, 4, 6)).to_pylist()\n"
        "print(datetime(2026, 5, 4).astimezone().utcoffset().total_seconds() != 0)\n"
        "print(hashlib.sha256(repr(rows).encode()).hexdigest())\n"
    )
    environment = os.environ | {"TZ": zone}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    expected = repr(compute(sample(), AS_OF, AS_OF + 6 * HOUR).to_pylist()).encode()
    assert done.stdout.split() == ["True", hashlib.sha256(expected).hexdigest()]


def test_a_dataset_gives_what_its_table_gives(tmp_path: Path) -> None:
    for day in range(27, 31):
        pq.write_table(day_events(date(2026, 4, day)), tmp_path / f"{day}.parquet")
    events = open_events(tmp_path)
    result = compute(events, AS_OF)
    assert result.num_rows > 100
    assert result == compute(events.to_table(), AS_OF)


def test_row_groups_outside_the_window_are_not_read(tmp_path: Path) -> None:
    old = tmp_path / "old.parquet"
    pq.write_table(day_events(date(2026, 4, 1)), old)
    pq.write_table(day_events(date(2026, 5, 3)), tmp_path / "new.parquet")
    expected = compute(day_events(date(2026, 5, 3)), AS_OF)
    content = bytearray(old.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)  # the footer stays, the pages are ruined
    old.write_bytes(content)

    assert compute(open_events(tmp_path), AS_OF) == expected
    with pytest.raises((duckdb.Error, pa.ArrowException, OSError)):
        compute(open_events(tmp_path), datetime(2026, 4, 2, tzinfo=UTC))


def test_strings_may_be_dictionaries() -> None:
    events = sample(2)
    encoded = events
    for index, column in enumerate(EVENT_SCHEMA):
        if column.type == pa.string():
            encoded = encoded.set_column(index, column.name, events[column.name].dictionary_encode())
    assert compute(encoded, AS_OF) == compute(events, AS_OF)


def test_a_spill_folder_of_its_own_and_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with user_activity._connect() as connection:
        settings = connection.sql(
            "SELECT current_setting('temp_directory'), current_setting('autoinstall_known_extensions'),"
            " current_setting('TimeZone')"
        ).fetchall()
    assert Path(settings[0][0]).parent == tmp_path
    assert settings[0][1:] == (False, "UTC")
    assert list(tmp_path.iterdir()) == []
