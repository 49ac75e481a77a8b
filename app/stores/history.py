"""The history of feature views, whichever offline store keeps it: implements app.exports.ports.OfflineHistory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import duckdb
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.registry.base_registry import BaseRegistry

from app.domain import FieldSpec
from app.errors import NotFoundError, NotServableError
from app.exports.ports import Scope
from app.planning.selection import PlannedView
from app.stores.arrow_types import arrow_type, field_type
from app.stores.foreign_offline import ForeignView
from app.stores.history_files import attach_files
from app.stores.history_foreign import attach_found
from app.stores.history_postgres import attach_table
from app.stores.offline_sources import is_parquet
from app.stores.repo import has_own_adapter

FeastViews = Callable[[], Mapping[str, FeatureView]]


class FeastHistory:
    """The rows that the sources of Feast's views hold: all that matter from Parquet and PostgreSQL, and from any other
    offline store what it finds itself."""

    def __init__(
        self,
        config: RepoConfig,
        views: FeastViews,
        seconds: float | None = None,
        registry: BaseRegistry | None = None,
    ) -> None:
        """`views` gives Feast's view objects by `ViewSpec.stored_as`; `seconds` is how long a statement of PostgreSQL
        may take, however long unless given. Without a `registry` other offline stores cannot be asked."""
        self._config = config
        self._views = views
        self._seconds = seconds
        self._registry = registry

    def attach(
        self, engine: duckdb.DuckDBPyConnection, name: str, planned: PlannedView, scope: Scope
    ) -> AbstractContextManager[None]:
        """See app.exports.ports.OfflineHistory."""
        view = self._view(planned)
        source: Any = view.batch_source
        if is_parquet(source):
            return attach_files(engine, name, planned.view, self._config, source, scope)
        if isinstance(source, PostgreSQLSource):
            return attach_table(engine, name, planned.view, self._config, source, scope, self._seconds)
        if self._registry is not None and not has_own_adapter(self._config):
            return attach_found(engine, name, planned.view, ForeignView(self._config, self._registry, view), scope)
        raise NotServableError(
            f"Source {planned.view.source.name if planned.view.source else '(none)'} of feature view"
            f" {planned.view.name} is a {type(source).__name__}, whose rows cannot be joined here"
        )

    def types(self, planned: PlannedView) -> Sequence[pa.DataType]:
        """See app.exports.ports.OfflineHistory."""
        types = {feature.name: feature.dtype for feature in self._view(planned).features}
        return [arrow_type(types[feature]) for feature in planned.features]

    def type_of(self, field: FieldSpec) -> pa.DataType:
        """See app.exports.ports.OfflineHistory."""
        return field_type(field)

    def _view(self, planned: PlannedView) -> FeatureView:
        view = self._views().get(planned.view.stored_as)
        if view is None:
            raise NotFoundError(f"The registry has no feature view {planned.view.stored_as}")
        if view.batch_source is None:
            raise NotServableError(f"Feature view {planned.view.name} has no batch source")
        return view
