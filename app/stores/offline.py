"""The offline store behind the pushing, materializing and computing ports, whichever Feast offline store it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import structlog
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID

from app.arrow_columns import as_type
from app.domain import ViewSpec, to_moment
from app.errors import NotFoundError, NotServableError
from app.pushing.batch import RowBatch
from app.stores.arrow_types import arrow_type, optional_arrow_type
from app.stores.offline_columns import SourceNames, arrow_table, source_columns, time_columns
from app.stores.offline_copy import CopyAppender
from app.stores.offline_files import FileOfflineStore
from app.stores.offline_postgres import PostgreSQLOfflineStore
from app.stores.offline_recorded import created_at, spans, tuples, unknown
from app.stores.offline_sources import compact_source, is_parquet, is_remote
from app.stores.offline_tables import table_name
from app.stores.repo import FeastRepo
from app.threads import finish_in_thread

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Destination:
    """Where the rows of a push go, and the Arrow type of each of their columns (None: Feast knows none)."""

    view: FeatureView
    source: Any
    names: SourceNames
    types: Mapping[str, pa.DataType | None]


class FeastOfflineStore:
    """Implements app.pushing.ports.OfflineWriter and app.materializing.materialize.OfflineReader."""

    def __init__(self, repo: FeastRepo, write_timeout: float = 4.0) -> None:
        """`write_timeout`: seconds that one append to PostgreSQL may take."""
        self._config = repo.store.config
        self._store: Any = repo.store.provider.offline_store
        self._views: Mapping[str, FeatureView] = {}
        self._destinations: dict[tuple[str, ...], _Destination] = {}
        self._appender: CopyAppender | None = None
        if isinstance(self._store, PostgreSQLOfflineStore):
            self._appender = CopyAppender(self._config.offline_store, write_timeout)

    def use(self, views: Mapping[str, FeatureView]) -> None:
        """Take over Feast's view objects of a new catalog; called before the catalog itself is published."""
        self._views = views
        self._destinations = {}

    def newest(self, view: ViewSpec, start: datetime, end: datetime) -> pa.Table:
        """The newest row per entity with start <= event timestamp <= end, in the view's column names.

        Columns: the join keys, the features, `event_timestamp` and `created_timestamp` (null where the source has no
        such column), times as UTC microseconds.
        """
        source = self._source(view)
        columns = SourceNames(view)
        job = self._store.pull_latest_from_table_or_query(
            config=self._config,
            data_source=source,
            join_key_columns=[columns.stored(field.name) for field in view.join_keys],
            feature_name_columns=[columns.stored(field.name) for field in view.features],
            timestamp_field=columns.event,
            created_timestamp_column=columns.created,
            start_date=start,
            end_date=end,
        )
        table = columns.shown(job.to_arrow())
        for name, wanted in self._arrow_types([view]).items():
            table = table.set_column(table.column_names.index(name), name, as_type(table[name], wanted, name))
        return table

    def append_batch(self, views: Sequence[ViewSpec], batch: RowBatch) -> None:
        """Append one offline row per row of the batch, durably, to the batch source that `views` share. Blocks.

        All or nothing: raises UnstorableRowsError that names the rows which this source cannot keep (on PostgreSQL
        perhaps not all of them at once), and then nothing was written; StoreUnavailableError where certainly nothing
        was; CommitUnknownError where that cannot be known.
        """
        to = self._destination(views)
        source, created = to.source, to.names.created
        columns = source_columns(batch, to.names, to.types)
        if self._appender is not None:
            times: dict[str, Sequence[Any]] = {to.names.event: batch.event}
            if created:
                times[created] = batch.created
            self._appender.append(table_name(source), columns, times)
            return
        table = arrow_table(columns, time_columns(batch, to.names.event, created))
        if _is_ours(self._store, source):
            self._store.append(self._config, source, table, {column.name: column.shown for column in columns})
        else:
            self._store.offline_write_batch(self._config, to.view, table, None)

    def missing(self, views: Sequence[ViewSpec], batches: Sequence[RowBatch]) -> list[Sequence[int]]:
        """See app.pushing.ports.OfflineWriter."""
        view = views[0]
        names = [field.name for field in view.join_keys]
        created = SourceNames(view).created
        if not created or not _is_ours(self._store, self._source(view)):
            return [self._missing_at_all(view, names, batch) for batch in batches]
        compared = [batch for batch in batches if None not in batch.created]
        known: set[tuple[Any, ...]] = set()
        # What a dead server leaves is many small pushes of the same moment: a look for each would take minutes.
        moments = {one for batch in compared for one in batch.created if one is not None}
        for first, last in spans(moments):
            found = created_at(self._recorded(view, created, to_moment(first), to_moment(last)), moments)
            known |= tuples(found, [*names, "event_timestamp", "created_timestamp"])
        return [
            self._missing_at_all(view, names, batch) if None in batch.created else unknown(batch, names, known)
            for batch in batches
        ]

    def _missing_at_all(self, view: ViewSpec, names: Sequence[str], batch: RowBatch) -> Sequence[int]:
        """All rows, or none where there is one with the key and the event timestamp of the first."""
        event = to_moment(batch.event[0])
        row = (*(batch.columns[name][0] for name in names), event)
        return [] if row in tuples(self.newest(view, event, event), [*names, "event_timestamp"]) else range(len(batch))

    def _recorded(self, view: ViewSpec, created: str, first: datetime, last: datetime) -> pa.Table:
        """Join keys, event and created timestamps of the rows created from `first` to `last`."""
        source, columns = self._source(view), SourceNames(view)
        keys = [columns.stored(field.name) for field in view.join_keys]
        job = self._store.pull_latest_from_table_or_query(
            config=self._config,
            data_source=source,
            # With both times among the keys the newest row per key is every row.
            join_key_columns=[*keys, columns.event, created],
            feature_name_columns=[],
            timestamp_field=created,
            created_timestamp_column=None,
            start_date=first,
            end_date=last,
        )
        table = columns.shown(job.to_arrow())
        wanted = self._arrow_types([view])
        for name in (field.name for field in view.join_keys):
            table = table.set_column(table.column_names.index(name), name, as_type(table[name], wanted[name], name))
        return table

    def compact(self, views: Iterable[ViewSpec]) -> int:
        """Merge the small part files behind these views' Parquet sources; how many files went into others. Blocks.

        A source that cannot be merged now is logged and left for the next time. Other stores need none of this.
        """
        return self._compact(self._source(view) for view in views)

    async def keep_compacted(self, seconds: float) -> None:
        """Compact the Parquet sources of all views every `seconds`, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await finish_in_thread(lambda: self._compact(self._sources()))
            except Exception:  # whatever it is, the next pushes leave parts again
                log.exception("part files are not merged")

    def close(self) -> None:
        """Close the connections that appends have opened."""
        if self._appender is not None:
            self._appender.close()

    def replace(self, view: ViewSpec, table: pa.Table, as_of: datetime, created: datetime) -> None:
        """Write the rows computed for `as_of` with what was known at `created`, instead of any written before for the
        same two times. A store that is not ours can only append."""
        source = self._source(view)
        names = SourceNames(view)
        times = {names.event: as_of, names.created: created}
        replacing = {column: moment for column, moment in times.items() if column}
        if isinstance(self._store, FileOfflineStore) and _is_ours(self._store, source):
            part = f"as_of={as_of:%Y%m%dT%H%M%S.%fZ}-known_at={created:%Y%m%dT%H%M%S.%fZ}"
            self._store.write_rows(self._config, source, table, part, replacing)
        elif isinstance(self._store, PostgreSQLOfflineStore):
            self._store.write_rows(self._config, source, table, replacing)
        else:
            self._store.offline_write_batch(self._config, self._feast_view(view.name), table, None)

    def _sources(self) -> Iterator[Any]:
        """Where the rows of all views are. Among the views are old versions, also of on-demand views, which have none,
        and some that Feast cannot load any more."""
        for name in self._views:
            try:
                source = getattr(self._views[name], "batch_source", None)
            except NotServableError:
                continue
            if source is not None:
                yield source

    def _compact(self, sources: Iterable[Any]) -> int:
        if not isinstance(self._store, FileOfflineStore):
            return 0
        local = {source.path: source for source in sources if _is_ours(self._store, source)}
        return sum(compact_source(self._config, source) for source in local.values())

    def _destination(self, views: Sequence[ViewSpec]) -> _Destination:
        names = tuple(view.name for view in views)
        known = self._destinations.get(names)
        if known is not None:
            return known
        types: dict[str, pa.DataType | None] = {}
        for view in views:
            feast_view = self._feast_view(view.name)
            pushed = {field.name for field in (*view.join_keys, *view.features)}
            for field in [*feast_view.entity_columns, *feast_view.features]:
                if field.name in pushed:
                    types[field.name] = optional_arrow_type(field.dtype)
        view = views[0]
        to = _Destination(self._feast_view(view.name), self._source(view), SourceNames(view), types)
        self._destinations[names] = to
        return to

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


def _is_ours(store: Any, source: Any) -> bool:
    if isinstance(store, FileOfflineStore):
        return is_parquet(source) and not is_remote(source)
    return isinstance(store, PostgreSQLOfflineStore)
