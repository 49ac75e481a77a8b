"""The offline store behind the pushing, materializing and computing ports, whichever Feast offline store it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID

from app.arrow_values import to_arrow
from app.domain import Row, ViewSpec
from app.errors import FieldError, InvalidRequestError, NotFoundError
from app.stores.arrow_types import UTC_MICROS, arrow_type, as_type, as_utc
from app.stores.offline_files import FileOfflineStore, is_parquet, is_remote
from app.stores.offline_postgres import PostgreSQLOfflineStore
from app.stores.repo import FeastRepo


class FeastOfflineStore:
    """Implements app.pushing.ports.OfflineWriter and app.materializing.materialize.OfflineReader."""

    def __init__(self, repo: FeastRepo) -> None:
        self._config = repo.store.config
        self._store: Any = repo.store.provider.offline_store
        self._views: Mapping[str, FeatureView] = {}

    def use(self, views: Mapping[str, FeatureView]) -> None:
        """Take over Feast's view objects of a new catalog; called before the catalog itself is published."""
        self._views = views

    def newest(self, view: ViewSpec, start: datetime, end: datetime) -> pa.Table:
        """The newest row per entity with start <= event timestamp <= end, in the view's column names.

        Columns: the join keys, the features, `event_timestamp` and `created_timestamp` (null where the source has no
        such column), times as UTC microseconds.
        """
        source = self._source(view)
        columns = _Columns(view)
        job = self._store.pull_latest_from_table_or_query(
            config=self._config,
            data_source=source,
            join_key_columns=[columns.stored(field.name) for field in view.join_keys],
            feature_name_columns=[columns.stored(field.name) for field in view.features],
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column or None,
            start_date=start,
            end_date=end,
        )
        table = columns.shown(job.to_arrow(), source.timestamp_field, source.created_timestamp_column)
        for name, wanted in self._arrow_types([view]).items():
            table = table.set_column(table.column_names.index(name), name, as_type(table[name], wanted, name))
        return table

    def append(
        self, views: Sequence[ViewSpec], rows: Sequence[Row], times: Sequence[tuple[datetime, datetime]]
    ) -> None:
        """Append one offline row per pushed row, durably, to the batch source that `views` share.

        `times` are the event and created timestamps of the rows. Raises StoreUnavailableError.
        """
        view = views[0]
        source = self._source(view)
        columns = _Columns(view)
        fields = {field.name: field.dtype for shared in views for field in [*shared.join_keys, *shared.features]}
        types = self._arrow_types(views)
        data = {
            columns.stored(name): _array([to_arrow(row.get(name), fields[name]) for row in rows], types[name], name)
            for name in fields
        }
        data[source.timestamp_field] = pa.array([event for event, _ in times], UTC_MICROS)
        if source.created_timestamp_column:
            data[source.created_timestamp_column] = pa.array([created for _, created in times], UTC_MICROS)
        table = pa.table(data)
        if _is_ours(self._store, source):
            self._store.write_rows(self._config, source, table)
        else:
            self._store.offline_write_batch(self._config, self._feast_view(view.name), table, None)

    def replace(self, view: ViewSpec, table: pa.Table, as_of: datetime, created: datetime) -> None:
        """Write the rows computed for `as_of` with what was known at `created`, instead of any written before for the
        same two times. A store that is not ours can only append."""
        source = self._source(view)
        times = {source.timestamp_field: as_of, source.created_timestamp_column: created}
        replacing = {column: moment for column, moment in times.items() if column}
        if isinstance(self._store, FileOfflineStore) and _is_ours(self._store, source):
            part = f"as_of={as_of:%Y%m%dT%H%M%S.%fZ}-known_at={created:%Y%m%dT%H%M%S.%fZ}"
            self._store.write_rows(self._config, source, table, part, replacing)
        elif isinstance(self._store, PostgreSQLOfflineStore):
            self._store.write_rows(self._config, source, table, replacing)
        else:
            self._store.offline_write_batch(self._config, self._feast_view(view.name), table, None)

    def _arrow_types(self, views: Sequence[ViewSpec]) -> dict[str, pa.DataType]:
        return {
            field.name: arrow_type(field.dtype)
            for view in views
            for feast_view in [self._feast_view(view.name)]
            for field in [*feast_view.entity_columns, *feast_view.features]
            if view.join_keys or field.name != DUMMY_ENTITY_ID
        }

    def _source(self, view: ViewSpec) -> Any:
        source = self._feast_view(view.name).batch_source
        if source is None:
            raise NotFoundError(f"Feature view {view.name} has no batch source")
        return source

    def _feast_view(self, name: str) -> FeatureView:
        if name not in self._views:
            raise NotFoundError(f"The registry has no feature view {name}")
        return self._views[name]


class _Columns:
    """The names of a view's columns in its batch source, by the source's field mapping."""

    def __init__(self, view: ViewSpec) -> None:
        self._mapping = dict(view.source.field_mapping) if view.source else {}
        self._inverse = {shown: stored for stored, shown in self._mapping.items()}

    def stored(self, name: str) -> str:
        return self._inverse.get(name, name)

    def shown(self, table: pa.Table, timestamp: str, created: str | None) -> pa.Table:
        """The table under the view's names, its times renamed and made UTC microseconds; naive ones are UTC."""
        data = {
            self._mapping.get(name, name): column
            for name, column in zip(table.column_names, table.columns, strict=True)
            if name not in (timestamp, created)
        }
        data["event_timestamp"] = as_utc(table[timestamp])
        data["created_timestamp"] = (
            as_utc(table[created]) if created else pa.nulls(table.num_rows, UTC_MICROS)
        )  # fmt: skip
        return pa.table(data)


def _array(values: list[Any], dtype: pa.DataType, name: str) -> pa.Array:
    try:
        return pa.array(values, dtype)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"cannot be kept offline as {dtype}; push it with to=online, or change its type"
        raise InvalidRequestError(f"Column {name} {message}", [FieldError(name, message)]) from error


def _is_ours(store: Any, source: Any) -> bool:
    if isinstance(store, FileOfflineStore):
        return is_parquet(source) and not is_remote(source)
    return isinstance(store, PostgreSQLOfflineStore)
