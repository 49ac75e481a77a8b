"""Feast's other offline stores (Spark, Snowflake, BigQuery...), asked through their own jobs.

Each is asked for one view at a time, without ttl, and for all columns of the rows that it finds, times included: what
holds is for our join to decide (docs/adr/0017-other-offline-stores.md).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_view_projection import FeatureViewProjection
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.offline_stores.offline_utils import get_offline_store_from_config
from feast.infra.registry.base_registry import BaseRegistry
from pydantic import SecretStr

from app.arrow_columns import as_type
from app.errors import ConfigurationError, FreshetError, NotServableError, StoreUnavailableError, one_line
from app.stores.arrow_types import optional_arrow_type
from app.stores.catalog import view_spec
from app.stores.offline_columns import SourceNames

# Spark's jobs make temporary views of fixed names in the session that the process has.
_ONE_AT_A_TIME = threading.Lock()
_BEGINNING = datetime(1700, 1, 1, tzinfo=UTC)
"""Before every row; stores that go through pandas know no time before 1677."""
_SHORT = 3
"""Texts up to here, such as a region's or a port's, say nothing and are part of too many words."""


class ForeignView:
    """A feature view whose rows only Feast's own offline store can reach."""

    def __init__(self, config: RepoConfig, registry: BaseRegistry, view: FeatureView) -> None:
        self._config, self._registry, self._view = config, registry, view
        self._store = get_offline_store_from_config(config.offline_store)
        spec = view_spec(view)
        self._names = SourceNames(spec)
        self._keys = [field.name for field in spec.join_keys]

    def newest(self, asked: pa.Table, known_at: bool, created_until: datetime | None) -> pa.Table:
        """For each of some times the newest row of an entity that is not later; at least one where several are.

        `asked` has the join keys and `event_timestamp`, no key null, no row twice. The answer has the columns of the
        source, all null where there is no row. With `known_at` the row has been created by that time; `created_until`
        is a wish that not every store fulfils. Raises NotServableError, StoreUnavailableError.
        """
        event, created = self._view.batch_source.timestamp_field, self._view.batch_source.created_timestamp_column
        if known_at and created and not self._store.supports_filter_by_created_timestamp:
            raise NotServableError(
                f"The offline store of feature view {self._view.name} cannot look for rows by their created timestamp,"
                " which known_at needs"
            )
        view, source = copy.copy(self._view), self._view.batch_source
        view.ttl = timedelta(0)
        view.projection = FeatureViewProjection.from_definition(view)
        # A view of nobody in particular has a key that no source has.
        view.entity_columns = [column for column in view.entity_columns if column.name in self._keys]
        if created_until is not None and created:
            view.batch_source = _created_until(source, self._names.stored(created), created_until)
        wanted = dict.fromkeys([*(field.name for field in view.features), event, *([created] if created else [])])
        options = {"filter_by_created_timestamp": True} if known_at and created else {}

        def job() -> RetrievalJob:
            references = [f"{view.name}:{column}" for column in wanted]
            frame = asked.to_pandas()
            return self._store.get_historical_features(
                self._config, [view], references, frame, self._registry, self._config.project, True, **options
            )

        found = self._rows(job)
        return self._as_stored(found, {f"{view.name}__{column}": column for column in wanted})

    def entities(self, until: datetime) -> pa.Table:
        """The join keys and the newest event timestamp of every entity up to `until`, in the columns of the source."""
        source, names = self._view.batch_source, self._names
        keys = [names.stored(key) for key in self._keys]
        found = self._rows(
            lambda: self._store.pull_latest_from_table_or_query(
                self._config, source, keys, [], names.event, names.created, _BEGINNING, until
            )
        )
        return self._as_stored(found, {source.timestamp_field: source.timestamp_field})

    def _rows(self, make: Callable[[], RetrievalJob]) -> pa.Table:
        with _ONE_AT_A_TIME:
            try:
                return _table_of(make())
            except FreshetError:
                raise
            except Exception as error:  # each store has errors of its own
                raise StoreUnavailableError(
                    f"The offline store has not found the rows of feature view {self._view.name}: {self._told(error)}"
                ) from error

    def _told(self, error: Exception) -> str:
        """What the store says, without any value of its configuration: passwords, and addresses with them."""
        words = f"{type(error).__name__}: {one_line(error)}"
        for value in _texts(self._config.offline_store.model_dump(exclude={"type"})):
            words = words.replace(value, "***")
        return words

    def _as_stored(self, found: pa.Table, columns: dict[str, str]) -> pa.Table:
        """What was found under the names and in the types of the source; `columns` are those of the view, as found."""
        types = {field.name: optional_arrow_type(field.dtype) for field in self._view.schema}
        here = {name.lower(): name for name in found.column_names}  # Snowflake's are in capitals
        table = {}
        for shown, column in {**{key: key for key in self._keys}, **columns}.items():
            name = here.get(shown.lower())
            if name is None:
                raise ConfigurationError(f"The offline store gives no column {shown} of feature view {self._view.name}")
            wanted = types.get(column) or (pa.timestamp("us", tz="UTC") if column in self._times() else None)
            stored = self._names.stored(column)
            table[stored] = found[name] if wanted is None else as_type(found[name], wanted, stored)
        return pa.table(table)

    def _times(self) -> Iterable[str]:
        source = self._view.batch_source
        return (source.timestamp_field, source.created_timestamp_column)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a nested value, and whatever is kept secret."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and len(value) > _SHORT:
        yield value


def _table_of(job: RetrievalJob) -> pa.Table:
    """The rows of a job. Spark's own way goes through pandas, where integers beside a null become floats."""
    frame: Any = getattr(job, "to_spark_df", None)
    return frame().toArrow() if frame is not None else job.to_arrow()


def _created_until(source: DataSource, column: str, until: datetime) -> DataSource:
    """The source without the rows that were created later: for the stores that build their SQL around it."""
    limited: Any = copy.copy(source)
    rows = source.get_table_query_string()
    moment = until.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    limited.get_table_query_string = lambda: f"(SELECT * FROM {rows} WHERE {column} IS NULL OR {column} <= '{moment}')"  # noqa: S608
    return limited
