"""The rows of a Parquet source as a relation of DuckDB, for point-in-time joins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from feast import RepoConfig
from feast.infra.offline_stores.file_source import FileSource

from app.domain import ViewSpec
from app.errors import StoreUnavailableError
from app.exports.ports import Scope
from app.stores.history_relation import make_no_rows, make_rows
from app.stores.offline_sources import is_remote, reading
from app.stores.parquet_relation import parquet_query


@contextmanager
def attach_files(
    engine: duckdb.DuckDBPyConnection, name: str, view: ViewSpec, config: RepoConfig, source: FileSource, scope: Scope
) -> Iterator[None]:
    """See app.exports.ports.OfflineHistory.attach. No file of the source is removed inside the with block."""
    with reading(config, source) as files:
        if files:
            columns = _attach(engine, f"stored_{name}", source, files)
            make_rows(engine, name, view, f"stored_{name}", scope, columns)
        else:
            make_no_rows(engine, name, view)
        yield


def _attach(engine: duckdb.DuckDBPyConnection, relation: str, source: FileSource, files: list[str]) -> list[str]:
    """Make `relation` of the files as they are; the names of its columns."""
    if is_remote(source):
        # DuckDB would have to download an extension for that; Arrow has what it takes.
        filesystem, path = FileSource.create_filesystem_and_path(source.path, source.s3_endpoint_override)
        try:
            dataset = ds.dataset(path, filesystem=filesystem, format="parquet", partitioning=None)
        except (pa.ArrowException, OSError) as error:
            raise StoreUnavailableError(f"The files of source {source.name} cannot be read") from error
        engine.register(relation, dataset)
        return list(dataset.schema.names)
    query, columns = parquet_query(engine, source.name, files)
    engine.execute(f"CREATE TEMP VIEW {relation} AS {query}")
    return columns
