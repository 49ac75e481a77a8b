"""Feast's offline store over Parquet files, read and written by DuckDB and Arrow.

It replaces Feast's duckdb and file (dask) stores where it knows better: paths are relative to the repo wherever the
process runs, a source may be a folder of part files, nanosecond timestamps are read, the newest row is picked with
ties broken (rule 1), and a write appends a part file instead of rewriting the data.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Literal

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores import duckdb as stock
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.ibis import get_historical_features_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from ibis.expr.types import Table

from app.errors import ConfigurationError
from app.stores.arrow_job import ArrowJob
from app.stores.offline_columns import fitted
from app.stores.offline_compaction import rewrite
from app.stores.offline_parts import stored_schema, storing
from app.stores.offline_sources import is_parquet, is_remote, part_files, reading


class FileOfflineStoreConfig(stock.DuckDBOfflineStoreConfig):
    """Feast's options, under the name of our class."""

    type: Literal["app.stores.offline_files.FileOfflineStore"] = "app.stores.offline_files.FileOfflineStore"


class FileOfflineStore(stock.DuckDBOfflineStore):
    """A Feast offline store that any Feast code path may use. Sources that are not Parquet go to Feast's own code."""

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The newest row per entity with start <= event timestamp <= end, its times as UTC microseconds."""
        if not is_parquet(data_source):
            return stock.DuckDBOfflineStore.pull_latest_from_table_or_query(
                config, data_source, join_key_columns, feature_name_columns, timestamp_field,
                created_timestamp_column, start_date, end_date,
            )  # fmt: skip
        times = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        columns = list(dict.fromkeys([*join_key_columns, *feature_name_columns, *times]))
        bounds = [start_date.astimezone(UTC), end_date.astimezone(UTC)]

        def compute() -> pa.Table:
            with reading(config, data_source) as names, duckdb.connect() as connection:
                if not names:
                    return _empty(columns, times)
                connection.execute("SET TimeZone = 'UTC'")
                present = _columns(connection, names, data_source, [*join_key_columns, *times])
                query = _latest_query(columns, join_key_columns, feature_name_columns, times, present)
                return connection.sql(query, params=[names, *bounds]).to_arrow_table()

        return ArrowJob(compute)

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> RetrievalJob:
        """Feast's own point-in-time join, over files that are found wherever the process runs.

        It reads when the job is asked for rows; until the job is gone no compaction removes the files.
        """
        held = ExitStack()
        job = get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            feature_refs=feature_refs,
            entity_df=entity_df,
            registry=registry,
            project=project,
            full_feature_names=full_feature_names,
            data_source_reader=lambda source, _: _read_source(config, source, held),
            data_source_writer=stock._write_data_source,
            **options,
        )
        weakref.finalize(job, held.close)
        return job

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Feast's append; see write_rows."""
        source = feature_view.batch_source
        if not is_parquet(source) or is_remote(source):
            stock.DuckDBOfflineStore.offline_write_batch(config, feature_view, table, progress)
            return
        FileOfflineStore.write_rows(config, source, table)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_rows(
        config: RepoConfig,
        source: FileSource,
        table: pa.Table,
        part: str | None = None,
        replacing: Mapping[str, datetime] | None = None,
    ) -> None:
        """Append rows, durably: on disk when this returns.

        A folder gets one more part file, or the part called `part` is replaced. A single file gets one beside it; with
        `replacing` it is rewritten, which costs what the file is large, without its rows that have these values.
        Raises StoreUnavailableError where the disk is full or refuses; then nothing was kept.
        """
        files = part_files(config, source)
        with storing(source.name):
            if files.base is None:
                files.add(table, part)
            elif replacing:
                rewrite(files, files.base, table, replacing)
            else:
                FileOfflineStore.append(config, source, table, {})

    @staticmethod
    def append(config: RepoConfig, source: FileSource, table: pa.Table, shown: Mapping[str, str]) -> None:
        """Append rows, durably, as one more part file. `shown` is what who pushed them calls the columns.

        Raises UnstorableRowsError for values that the types of a single file cannot hold, and StoreUnavailableError.
        """
        files = part_files(config, source)
        with storing(source.name):
            schema = None if files.base is None else stored_schema(files.base)
            files.add(table if schema is None else fitted(table, schema, shown))


def _columns(
    connection: duckdb.DuckDBPyConnection, files: list[str], source: DataSource, needed: Sequence[str]
) -> set[str]:
    """The columns of the files. Raises ConfigurationError where a key or time is not among them."""
    found = connection.sql("DESCRIBE SELECT * FROM read_parquet($1, union_by_name = true)", params=[files]).fetchall()
    present = {str(name) for name, *_ in found}
    missing = [name for name in needed if name not in present]
    if missing:
        raise ConfigurationError(f"Source {source.name} has no column {', '.join(missing)}")
    return present


def _latest_query(
    columns: Sequence[str], keys: Sequence[str], features: Sequence[str], times: Sequence[str], present: set[str]
) -> str:
    def shown(name: str) -> str:
        if name in times:
            # Casting to microseconds here makes pandas' nanosecond files comparable with the bounds.
            return f"CAST({_quoted(name)} AS TIMESTAMPTZ) AS {_quoted(name)}"
        # A feature that was added after the last row was written is null in all of them.
        return _quoted(name) if name in present else f"NULL AS {_quoted(name)}"

    inner = ", ".join(map(shown, columns))
    # Among equal times the greatest values win, so that every run picks the same row.
    order = ", ".join(f"{_quoted(name)} DESC NULLS LAST" for name in [*times, *features])
    return (
        f"SELECT {', '.join(map(_quoted, columns))} FROM (SELECT {inner} FROM read_parquet($1, union_by_name = true)) "  # noqa: S608
        f"WHERE {_quoted(times[0])} >= $2 AND {_quoted(times[0])} <= $3 "
        f"QUALIFY row_number() OVER (PARTITION BY {', '.join(map(_quoted, keys)) or '1'} ORDER BY {order}) = 1"
    )


def _empty(columns: Sequence[str], times: Sequence[str]) -> pa.Table:
    stamp = pa.timestamp("us", tz="UTC")
    return pa.table({name: pa.array([], stamp if name in times else pa.null()) for name in columns})


def _read_source(config: RepoConfig, source: DataSource, held: ExitStack) -> Table:
    if not is_parquet(source):
        return stock._read_data_source(source, str(config.repo_path))
    return ibis.read_parquet(held.enter_context(reading(config, source)), union_by_name=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
