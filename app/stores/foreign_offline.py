"""Feast's other offline stores (Spark, Snowflake, BigQuery...), asked through their own jobs.

Each is asked for one view at a time, without ttl, and for all columns of the rows that it finds, times included: what
holds is for our join to decide (docs/adr/0017-other-offline-stores.md).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_view_projection import FeatureViewProjection
from feast.infra.offline_stores.offline_store import OfflineStore
from feast.infra.offline_stores.offline_utils import get_offline_store_from_config
from feast.infra.registry.base_registry import BaseRegistry

from app.arrow_columns import UTC_MICROS, as_type
from app.errors import ConfigurationError, NotServableError
from app.stores import spark_session
from app.stores.arrow_types import optional_arrow_type
from app.stores.catalog import view_spec
from app.stores.foreign_errors import said_by
from app.stores.offline_columns import SourceNames
from app.stores.repo import runs_on_spark
from app.threads import DaemonThreads

_THREADS = DaemonThreads("offline-store", 8)
_BEGINNING = datetime(1700, 1, 1, tzinfo=UTC)
"""Before every row; stores that go through pandas know no time before 1677."""
_EXACT = 2.0**53


class ForeignView:
    """A feature view whose rows only Feast's own offline store can reach."""

    def __init__(self, config: RepoConfig, registry: BaseRegistry, view: FeatureView) -> None:
        self._config, self._registry, self._view = config, registry, view
        self._store = get_offline_store_from_config(config.offline_store)
        self._spark = runs_on_spark(config)
        spec = view_spec(view)
        self._names = SourceNames(spec)
        self._keys = [field.name for field in spec.join_keys]

    @property
    def columns(self) -> int:
        """How many columns a row has that is found."""
        return len(self._keys) + len(self._view.features) + 2

    def newest(self, asked: pa.Table, known_at: bool, created_until: datetime | None) -> Future[pa.Table]:
        """For each of some times the newest row of an entity that is not later; at least one where several are.

        `asked` has the join keys and `event_timestamp`, no key null, no row twice. The answer has the columns of the
        source, all null where there is no row. With `known_at` the row has been created by that time; `created_until`
        is a wish that not every store fulfils. The future raises NotServableError, ConfigurationError and
        StoreUnavailableError.
        """
        if known_at and self._names.created and not self._store.supports_filter_by_created_timestamp:
            raise NotServableError(
                f"The offline store of feature view {self._view.name} cannot look for rows by their created timestamp,"
                " which known_at needs"
            )
        return self._submit(partial(self._find, asked, known_at, created_until))

    def entities(self, until: datetime) -> Future[pa.Table]:
        """The join keys and the newest event timestamp of every entity up to `until`, in the columns of the source."""
        return self._submit(partial(self._latest, until))

    def stop(self) -> None:
        """Let the store stop what it does for us, where that is possible."""
        if self._spark:
            spark_session.stop_jobs()

    def _submit(self, find: partial[pa.Table]) -> Future[pa.Table]:
        def found() -> pa.Table:
            try:
                return find()
            except Exception as error:  # each store has errors of its own
                raise said_by(self._config, self._view.name, error) from error

        return (spark_session.THREAD if self._spark else _THREADS).submit(found)

    def _find(self, asked: pa.Table, known_at: bool, created_until: datetime | None) -> pa.Table:
        view, names = copy.copy(self._view), self._names
        view.ttl = timedelta(0)
        view.projection = FeatureViewProjection.from_definition(view)
        # A view of nobody in particular has a key that no source has.
        view.entity_columns = [column for column in view.entity_columns if column.name in self._keys]
        options = {"filter_by_created_timestamp": True} if known_at and names.created else {}
        view.batch_source = copy.copy(self._view.batch_source)
        if created_until is not None and names.created:
            _leave_out_later(view.batch_source, names.created, created_until)
        if not options and _gives_ties(self._store):
            # Feast's SQL loses rows in which it is null; without it all rows that tie come, and our ranking decides.
            view.batch_source.created_timestamp_column = ""
        times = [names.event, *([names.created] if names.created else [])]
        stored = dict.fromkeys([*(names.stored(field.name) for field in view.features), *times])
        mapping = view.batch_source.field_mapping
        shown = {column: mapping.get(column, column) for column in stored}
        references = [f"{view.name}:{column}" for column in shown.values()]
        found = self._rows(
            self._store.get_historical_features,
            self._config, [view], references, asked.to_pandas(), self._registry, self._config.project, True, **options,
        )  # fmt: skip
        wanted = {names.stored(key): [key] for key in self._keys}
        return self._as_stored(found, {**wanted, **{c: [f"{view.name}__{name}"] for c, name in shown.items()}})

    def _latest(self, until: datetime) -> pa.Table:
        source, names = self._view.batch_source, self._names
        keys = [names.stored(key) for key in self._keys]
        found = self._rows(
            self._store.pull_latest_from_table_or_query,
            self._config, source, keys, [], names.event, names.created, _BEGINNING, until,
        )  # fmt: skip
        # Some stores give columns the names of the view, others leave them those of the source.
        wanted = {column: [source.field_mapping.get(column, column), column] for column in [*keys, names.event]}
        table = self._as_stored(found, wanted)
        return table.append_column(names.created, pa.nulls(len(table), UTC_MICROS)) if names.created else table

    def _rows(self, ask: Any, *arguments: Any, **options: Any) -> pa.Table:
        if self._spark:
            return spark_session.rows(lambda: ask(*arguments, **options))
        return ask(*arguments, **options).to_arrow()

    def _as_stored(self, found: pa.Table, columns: Mapping[str, list[str]]) -> pa.Table:
        """What was found under the names and in the types of the source: `columns` says how each may be called."""
        types = {self._names.stored(field.name): optional_arrow_type(field.dtype) for field in self._view.schema}
        types |= {time: UTC_MICROS for time in (self._names.event, self._names.created) if time}
        here = {name.lower(): name for name in found.column_names}  # Snowflake's may be in capitals
        table = {}
        for stored, names in columns.items():
            name = next((here[name.lower()] for name in names if name.lower() in here), None)
            if name is None:
                raise ConfigurationError(
                    f"The offline store gives no column {names[0]} of feature view {self._view.name}"
                )
            table[stored] = _typed(found[name], types.get(stored), stored)
        return pa.table(table)


def _typed(column: pa.ChunkedArray, wanted: pa.DataType | None, name: str) -> pa.ChunkedArray:
    if wanted is None:
        return column
    if pa.types.is_floating(column.type) and pa.types.is_integer(wanted):
        greatest = pc.max(pc.abs(column)).as_py()
        if greatest is not None and greatest >= _EXACT:
            raise NotServableError(
                f"The offline store gives the integers of column {name} as reals, and some are beyond 2^53: they cannot"
                " be told exactly"
            )
    return as_type(column, wanted, name)


def _gives_ties(store: OfflineStore) -> bool:
    """Whether a store's SQL gives all rows that tie: it joins back by the newest time, unlike an ASOF join."""
    sql = getattr(sys.modules[type(store).__module__], "MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN", "")
    return "__latest" in sql and "ASOF" not in sql


def _leave_out_later(source: DataSource, column: str, until: datetime) -> None:
    """Let the source be without the rows that were created later: for the stores that build their SQL around it."""
    rows = source.get_table_query_string
    moment = until.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    condition = f"{column} IS NULL OR {column} <= '{moment}'"
    source.get_table_query_string = lambda: f"(SELECT * FROM {rows()} WHERE {condition})"  # noqa: S608
