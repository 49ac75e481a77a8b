"""The offline stores: a history in each of them at first, and later how many of the pushed rows are there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from benchmarks.pushing.repo import TABLE
from benchmarks.pushing.rows import VIEW, user_id, values

_TYPES = {"Int64": pa.int64(), "Float64": pa.float64(), "String": pa.string(), "Bool": pa.bool_()}
_COLUMNS = {"Int64": "bigint", "Float64": "double precision", "String": "text", "Bool": "boolean"}


@dataclass(frozen=True)
class Kept:
    """Pushed rows that an offline store holds: different ones, and how many more times some of them are there."""

    rows: int
    twice: int


def history(users: int) -> pa.Table:
    """A row for every user, from the last day; what was there before the pushes."""
    now = datetime.now(UTC) - timedelta(hours=1)
    rows = [values(number) for number in range(users)]
    times = [now - timedelta(milliseconds=number % 86_400_000) for number in range(users)]
    columns = {
        VIEW.entity: pa.array([user_id(number) for number in range(users)], pa.string()),
        "event_timestamp": pa.array(times, pa.timestamp("us", "UTC")),
    }
    for name, kind in VIEW.fields.items():
        columns[name] = pa.array([row[name] for row in rows], _TYPES[kind])
    return pa.table(columns)


class PostgresHistory:
    """The table of Freshet's repo."""

    def __init__(self, url: str, table: pa.Table) -> None:
        self._url = url
        columns = [f"{VIEW.entity} text", "event_timestamp timestamptz"]
        columns += [f"{name} {_COLUMNS[kind]}" for name, kind in VIEW.fields.items()]
        with psycopg.connect(url) as connection:
            connection.execute(f"CREATE TABLE {TABLE} ({', '.join(columns)})".encode())
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(TABLE))) as copy:
                for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                    copy.write_row(row)

    def reset(self) -> None:
        """Nothing: an append costs the same whatever is in the table."""

    def kept(self, since: int) -> Kept:
        """What was pushed with event timestamps from `since` on, in microseconds since 1970."""
        query = "SELECT count(*), count(DISTINCT (user_id, event_timestamp)) FROM {} WHERE event_timestamp >= %s"
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=since)
        with psycopg.connect(self._url) as connection:
            found = connection.execute(sql.SQL(query).format(sql.Identifier(TABLE)), [moment]).fetchone()
        rows, distinct = found or (0, 0)
        return Kept(distinct, rows - distinct)


class ParquetHistory:
    """The file of Feast's repo."""

    def __init__(self, path: Path, table: pa.Table) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._first = path, path.with_suffix(".first")
        pq.write_table(table, self._first)
        self.reset()

    def reset(self) -> None:
        """As it was at first: each measurement rewrites a file of the same size, and a whole one."""
        copy = self._path.with_suffix(".copy")
        shutil.copyfile(self._first, copy)
        copy.replace(self._path)

    def kept(self, since: int) -> Kept:
        """What was pushed with event timestamps from `since` on; nothing where the file cannot be read any more."""
        try:
            table = pq.read_table(self._path, columns=[VIEW.entity, "event_timestamp"])
        except (pa.ArrowException, OSError):
            return Kept(0, 0)
        moments = table["event_timestamp"].cast(pa.int64())
        fresh = table.filter(pc.greater_equal(moments, since))
        pairs = set(zip(*(column.to_pylist() for column in fresh.columns), strict=True))
        return Kept(len(pairs), len(fresh) - len(pairs))
