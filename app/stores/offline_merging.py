"""Merged files: many Parquet files poured into one, and that one put in the place of the others.

The order of a switch, each step on disk before the next: the journal says which file will replace which; the merged
file gets its name; the files that it replaces are removed; the journal is removed. Before the second step the merge has
not happened, from then on it has, whoever looks and whoever was killed.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from app.arrow_columns import as_utc, conformed
from app.durable_files import sync_folder, written
from app.errors import FreshetError, StoreUnavailableError
from app.stores.offline_parts import TOKEN, Merge, PartFiles

log = structlog.get_logger(__name__)

_ROWS_PER_GROUP = 128 * 1024
_ROWS_PER_READ = 32 * 1024

Keep = Callable[[pa.Table], pa.Table]


def merge(files: PartFiles, paths: Sequence[Path]) -> int:
    """Put one part in the place of several whose columns have the same types; how many."""
    schema = functools.reduce(add_fields, map(read_schema, paths))
    token = uuid.uuid4().hex
    name = f"merged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{token[:8]}.parquet"
    switch = Merge(name, token, tuple(path.name for path in paths))
    with written(files.folder / name, lambda file: _pour(paths, schema, file, token)) as temporary:
        _switch(files, temporary, files.folder / name, switch)
    return len(paths)


def fold(
    files: PartFiles, base: Path, table: pa.Table | None = None, replacing: Mapping[str, datetime] | None = None
) -> int:
    """Write the single file anew, with every part that its types can take, and with the rows of `table`; how many parts
    went in. Rows that have the values of `replacing` are left out.

    Raises StoreUnavailableError where another program wrote the file meanwhile: it then stays as that one left it.
    """
    before = _identity(base)
    old = [base] if before else []
    parts = sorted(files.folder.glob("*.parquet"))
    schema = functools.reduce(add_fields, map(read_schema, [*old, *parts])) if old or parts else None
    if table is not None:
        schema = table.schema if schema is None else add_fields(schema, table.schema)
    if schema is None:
        return 0
    if not replacing:
        parts = [part for part in parts if _fits(part, schema)]
    token = uuid.uuid4().hex
    switch = Merge(base.name, token, tuple(part.name for part in parts))
    keep = functools.partial(_without, replacing) if replacing else None
    with written(base, lambda file: _pour([*old, *parts], schema, file, token, keep, table)) as temporary:
        _switch(files, temporary, base, switch, before)
    return len(parts)


def read_schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file."""
    return pq.read_schema(path)


def read_rows(path: Path) -> int:
    """How many rows a Parquet file has."""
    return int(pq.read_metadata(path).num_rows)


def of_one_schema(paths: Sequence[Path]) -> list[list[Path]]:
    """The parts by the types of their columns, as a merge converts nothing; alone in theirs, they are left out. Columns
    that are missing do no harm."""
    groups: list[tuple[pa.Schema, list[Path]]] = []
    for path in paths:
        schema = read_schema(path)
        for number, (known, members) in enumerate(groups):
            both = set(known.names) & set(schema.names)
            if all(known.field(name).type == schema.field(name).type for name in both):
                members.append(path)
                groups[number] = (add_fields(known, schema), members)
                break
        else:
            groups.append((schema, [path]))
    return [members for _, members in groups if len(members) > 1]


def add_fields(schema: pa.Schema, other: pa.Schema) -> pa.Schema:
    """The schema with the columns that only the other one has. One that was null throughout takes the other's type."""
    for field in other:
        index = schema.get_field_index(field.name)
        if index < 0:
            schema = schema.append(field)
        elif pa.types.is_null(schema.field(index).type):
            schema = schema.set(index, field)
    return schema


def remove_replaced(files: PartFiles, done: Merge) -> None:
    """Remove the parts whose rows are in the merged file."""
    for name in done.replaces:
        (files.folder / name).unlink(missing_ok=True)
    sync_folder(files.folder)


def _switch(
    files: PartFiles, temporary: Path, place: Path, switch: Merge, before: tuple[int, ...] | None = None
) -> None:
    with files.switching():
        if _identity(place) != before:
            raise StoreUnavailableError(f"{place.name} was written by another program; try again")
        files.write_journal(switch)
        if before is None:
            # Never over a file that somebody has made since.
            os.link(temporary, place)
        else:
            temporary.replace(place)
        sync_folder(place.parent)
        remove_replaced(files, switch)
        files.write_journal(None)


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _pour(
    paths: Sequence[Path],
    schema: pa.Schema,
    file: BinaryIO,
    token: str,
    keep: Keep | None = None,
    more: pa.Table | None = None,
) -> None:
    """Write the rows of all files, and `more`, as `schema` has them: in order, and never all of them in memory."""
    metadata = {**(schema.metadata or {}), TOKEN: token.encode()}
    with pq.ParquetWriter(file, schema.with_metadata(metadata), compression="zstd") as writer:
        held: list[pa.Table] = []
        for table in _tables(paths, schema, keep, more):
            held.append(table)
            if sum(one.num_rows for one in held) >= _ROWS_PER_GROUP:
                writer.write_table(pa.concat_tables(held))
                held = []
        if held:
            writer.write_table(pa.concat_tables(held))


def _tables(paths: Sequence[Path], schema: pa.Schema, keep: Keep | None, more: pa.Table | None) -> Iterator[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(_ROWS_PER_READ):
                table = pa.Table.from_batches([batch])
                yield _as(table if keep is None else keep(table), schema)
    if more is not None:
        yield _as(more, schema)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    table = conformed(table, schema)
    columns: list[Any] = [
        table[field.name] if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema.remove_metadata())


def _fits(part: Path, schema: pa.Schema) -> bool:
    """Whether the single file can take the part. One that was written for other types stays a part."""
    try:
        for _ in _tables([part], schema, None, None):
            pass
    except FreshetError as error:
        log.warning("a part does not fit its file and stays beside it", part=part.name, reason=error.detail)
        return False
    return True


def _without(replacing: Mapping[str, datetime], table: pa.Table) -> pa.Table:
    equal = (pc.equal(as_utc(table[name]), pa.scalar(value)) for name, value in replacing.items())
    return table.filter(pc.invert(pc.fill_null(functools.reduce(pc.and_, equal), False)))
