"""An offline store of a stranger's: the SQL that Feast sends to Redshift, run by DuckDB, with the faults of that SQL.

It fans out ties, takes (1, 23) for (12, 3), and gives the rows of a frame back in any order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import duckdb
import pandas as pd
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob
from feast.infra.offline_stores.redshift import MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from app.stores.arrow_job import ArrowJob


class WarehouseOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # feast has no types
    """How to log in."""

    type: Literal["tests.warehouse.WarehouseOfflineStore"] = "tests.warehouse.WarehouseOfflineStore"
    user: str = "sesame"
    password: str = "sesame street"


class WarehouseOfflineStore(OfflineStore):  # type: ignore[misc]
    """Reads `RedshiftSource`s whose queries are DuckDB's."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **kwargs: Any,
    ) -> RetrievalJob:
        assert isinstance(entity_df, pd.DataFrame)
        column = offline_utils.infer_event_timestamp_from_entity_df(entity_df.dtypes.to_dict())
        context = offline_utils.get_feature_view_query_context(
            feature_refs, feature_views, registry, project, (entity_df[column].min(), entity_df[column].max())
        )
        query = offline_utils.build_point_in_time_query(
            context,
            "entity_frame",
            column,
            entity_df.columns,
            MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN,
            full_feature_names,
            kwargs.get("filter_by_created_timestamp", False),
        )
        return ArrowJob(lambda: run(query, entity_df))

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
        columns = [*join_key_columns, *feature_name_columns, timestamp_field]
        shown = ", ".join(columns)  # of the source: Feast's SQL for Redshift does not rename them either
        keys = ", ".join(join_key_columns)
        query = (
            f"SELECT {shown} FROM {data_source.get_table_query_string()}"
            f" WHERE {timestamp_field} BETWEEN '{start_date}' AND '{end_date}'"
            f" QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {timestamp_field} DESC) = 1"
        )
        return ArrowJob(lambda: run(query))

    @staticmethod
    def pull_all_from_table_or_query(*args: Any, **kwargs: Any) -> RetrievalJob:
        raise NotImplementedError("nobody pulls all rows of a warehouse")

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Whatever DuckDB reads."""


def run(query: str, entity_frame: pd.DataFrame | None = None) -> pa.Table:
    """What DuckDB answers to a query over a frame."""
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        if entity_frame is not None:
            engine.register("entity_frame", entity_frame)
        return engine.sql(query).to_arrow_table()
