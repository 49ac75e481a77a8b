"""Feast's PostgreSQL offline store with what it lacks: appends, times in UTC, and the newest row by rule 1."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.contrib.postgres_offline_store import postgres as stock
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.saved_dataset import SavedDatasetStorage
from psycopg import sql

from app.stores.arrow_job import ArrowJob
from app.stores.historical import historical_job
from app.stores.history import FeastHistory
from app.stores.history_postgres import read_query
from app.stores.offline_tables import identifiers, make_table, table_name, target
from app.stores.postgres_source import connect, source_columns
from app.stores.pulled import Pull, for_feast
from app.stores.pulled_tables import pull_from_table


class PostgreSQLOfflineStoreConfig(stock.PostgreSQLOfflineStoreConfig):
    """Feast's options, under the name of our class."""

    type: Literal["app.stores.offline_postgres.PostgreSQLOfflineStore"] = (
        "app.stores.offline_postgres.PostgreSQLOfflineStore"
    )


class PostgreSQLOfflineStore(stock.PostgreSQLOfflineStore):
    """A Feast offline store that any Feast code path may use."""

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
        """The newest row per entity with start <= event timestamp <= end; no rows where the table does not exist.

        Feast's own query sorts a null created timestamp above every other and follows the session's time zone.
        """
        pull = Pull(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column,
            start_date, end_date, newest=True,
        )  # fmt: skip
        return ArrowJob(lambda: pull_from_table(pull))

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
        """Every row with start <= event timestamp <= end: what Feast's own materialization and its saved datasets
        read. Feast's own query follows the time zone of the session."""
        pull = Pull(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column,
            start_date, end_date, newest=False,
        )  # fmt: skip
        return ArrowJob(lambda: for_feast(pull, pull_from_table(pull)))

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> RetrievalJob:
        """The point-in-time join of our exports: one row per row of the entity frame, or of the query that stands for
        it, in its order (rules 1 and 3). Calls without either go to Feast's own join."""
        if entity_df is None:
            return stock.PostgreSQLOfflineStore.get_historical_features(
                config, feature_views, feature_refs, entity_df, registry, project, full_feature_names, **options
            )

        def spine() -> pa.Table:
            if isinstance(entity_df, str):
                return read_query(config, entity_df)
            return pa.Table.from_pandas(entity_df, preserve_index=False)

        return historical_job(
            config,
            lambda views: FeastHistory(config, lambda: views),
            feature_views,
            feature_refs,
            spine,
            registry,
            project,
            full_feature_names,
            bool(options.get("filter_by_created_timestamp")),
            lambda table, storage, replace: _persist(config, table, storage, replace),
        )

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Feast's append, which its own PostgreSQL store does not have; see write_rows."""
        PostgreSQLOfflineStore.write_rows(config, feature_view.batch_source, table)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_rows(
        config: RepoConfig, source: PostgreSQLSource, table: pa.Table, replacing: dict[str, datetime] | None = None
    ) -> None:
        """Append rows by COPY, committed when this returns; the table is made on the first write.

        With `replacing` (column -> value), the rows that have those values are deleted in the same transaction.
        """
        name = table_name(source)
        table_id = target(name)
        with connect(config) as connection, connection.cursor() as cursor:
            make_table(cursor, name, table.schema)
            if replacing:
                conditions = [sql.SQL("{} = %s").format(sql.Identifier(column)) for column in replacing]
                where = sql.SQL(" AND ").join(conditions)
                cursor.execute(sql.SQL("DELETE FROM {} WHERE {}").format(table_id, where), list(replacing.values()))
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table_id, identifiers(table.column_names))
            with cursor.copy(statement) as copy:
                for batch in table.to_batches(max_chunksize=10_000):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)


def _persist(config: RepoConfig, table: pa.Table, storage: SavedDatasetStorage, replace: bool) -> None:
    """Keep a saved dataset in a table of its own. Raises what Feast raises where there is one already."""
    source = storage.to_data_source()
    with connect(config) as connection:
        if source_columns(connection, source) is not None:
            if not replace:
                raise SavedDatasetLocationAlreadyExists(location=table_name(source))
            connection.execute(sql.SQL("DROP TABLE {}").format(target(table_name(source))))
    PostgreSQLOfflineStore.write_rows(config, source, table)
