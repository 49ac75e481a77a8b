"""Feast's offline store over Parquet files, read and written by DuckDB and Arrow.

It replaces Feast's duckdb and file (dask) stores where it knows better: paths are relative to the repo wherever the
process runs, a source may be a folder of part files, nanosecond timestamps are read, the newest row is picked with
ties broken (rule 1), and a write appends a part file instead of rewriting the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import ibis
import pandas as pd
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores import duckdb as stock
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry

from app.errors import InvalidRequestError
from app.stores.arrow_job import ArrowJob
from app.stores.historical import historical_job
from app.stores.history import FeastHistory
from app.stores.offline_columns import fitted
from app.stores.offline_compaction import rewrite
from app.stores.offline_parts import stored_schema, storing
from app.stores.offline_sources import is_parquet, is_remote, part_files
from app.stores.pulled import Pull, for_feast
from app.stores.pulled_files import pull_from_files


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
        pull = Pull(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column,
            start_date, end_date, newest=True,
        )  # fmt: skip
        return ArrowJob(lambda: pull_from_files(pull))

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with start <= event timestamp <= end, its times as UTC microseconds: what Feast's own
        materialization and its saved datasets read."""
        if not is_parquet(data_source):
            return stock.DuckDBOfflineStore.pull_all_from_table_or_query(
                config, data_source, join_key_columns, feature_name_columns, timestamp_field,
                created_timestamp_column, start_date, end_date,
            )  # fmt: skip
        pull = Pull(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column,
            start_date, end_date, newest=False,
        )  # fmt: skip
        return ArrowJob(lambda: for_feast(pull, pull_from_files(pull)))

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
        """The point-in-time join of our exports: one row per row of the entity frame, in its order (rules 1 and 3).

        Sources that are not Parquet, and calls without an entity frame, go to Feast's own join.
        """
        if entity_df is None or not all(is_parquet(view.batch_source) for view in feature_views):
            return stock.DuckDBOfflineStore.get_historical_features(
                config, feature_views, feature_refs, entity_df, registry, project, full_feature_names, **options
            )
        if isinstance(entity_df, str):
            raise InvalidRequestError("Files know no SQL: give the entities as a data frame")
        return historical_job(
            config,
            lambda views: FeastHistory(config, lambda: views),
            feature_views,
            feature_refs,
            lambda: pa.Table.from_pandas(entity_df, preserve_index=False),
            registry,
            project,
            full_feature_names,
            bool(options.get("filter_by_created_timestamp")),
            lambda table, storage, replace: stock._write_data_source(
                ibis.memtable(table), storage.to_data_source(), str(config.repo_path), "overwrite", replace
            ),
        )

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
