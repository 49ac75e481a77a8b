"""Some entities of a view, as an offline store of ours knows them: implements app.skew.ports.OfflineSampler."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from psycopg import sql

from app.arrow_values import from_arrow
from app.domain import EntityKey, FieldSpec, ViewSpec
from app.errors import StoreUnavailableError
from app.exports.engine import open_engine, stopped_after
from app.exports.ports import OfflineHistory, Scope
from app.exports.sql import moment
from app.planning.selection import PlannedView
from app.stores.offline_columns import SourceNames
from app.stores.offline_sources import is_parquet
from app.stores.postgres_source import connect, source_columns

_MEMORY = 268_435_456


class StoredOfflineSampler:
    """Samples Parquet by a scan of its keys and times, and a PostgreSQL table by a query there. Other stores are not
    asked: to name some entities they would read all of their rows, which somebody may have to pay for."""

    def __init__(
        self,
        config: RepoConfig,
        feast_views: Callable[[], Mapping[str, FeatureView]],
        history: OfflineHistory,
        seconds: float,
    ) -> None:
        """`feast_views` gives Feast's views by `ViewSpec.stored_as`; `seconds`: how long one sample may take."""
        self._config = config
        self._feast_views = feast_views
        self._history = history
        self._seconds = seconds

    def sample(self, view: ViewSpec, since: datetime | None, until: datetime, entities: int) -> Sequence[EntityKey]:
        """See the protocol."""
        return self._entities(view, since, until, entities, newest=False)

    def newest(self, view: ViewSpec, until: datetime, entities: int) -> Sequence[EntityKey]:
        """The entities of so many rows with the latest event timestamps up to `until` (UTC); otherwise as `sample`."""
        return self._entities(view, None, until, entities, newest=True)

    def _entities(
        self, view: ViewSpec, since: datetime | None, until: datetime, entities: int, *, newest: bool
    ) -> Sequence[EntityKey]:
        source: Any = getattr(self._feast_views().get(view.stored_as), "batch_source", None)
        if entities <= 0 or not view.join_keys:
            return []
        if is_parquet(source):
            rows = self._from_files(view, since, until, entities, newest)
        elif isinstance(source, PostgreSQLSource):
            rows = self._from_table(view, source, since, until, entities, newest)
        else:
            return []
        names = tuple(field.name for field in view.join_keys)
        return [
            EntityKey(names, tuple(_native(value, field) for value, field in zip(row, view.join_keys, strict=True)))
            for row in rows
        ]

    def _from_files(
        self, view: ViewSpec, since: datetime | None, until: datetime, entities: int, newest: bool
    ) -> list[tuple[Any, ...]]:
        keys = [f"k{place}" for place in range(len(view.join_keys))]
        planned = PlannedView(view, (), tuple(field.name for field in view.join_keys), view.name)
        there = [*(f"{key} IS NOT NULL" for key in keys), *([] if since is None else [f"t >= {moment(since)}"])]
        chosen = f"ORDER BY t DESC LIMIT {entities}" if newest else f"USING SAMPLE reservoir({entities} ROWS)"
        query = (
            f"SELECT DISTINCT {', '.join(keys)} FROM"  # noqa: S608
            f" (SELECT * FROM (SELECT {', '.join(keys)}, t FROM stored WHERE {' AND '.join(there)}) {chosen})"
        )
        with (
            tempfile.TemporaryDirectory(prefix="freshet-sample-") as folder,
            open_engine(_MEMORY, Path(folder) / "spill", threads=1) as engine,
            stopped_after(self._seconds, engine),
        ):
            try:
                with self._history.attach(engine, "stored", planned, Scope(None, until)):
                    return list(engine.execute(query).fetchall())
            except duckdb.InterruptException as error:
                raise StoreUnavailableError(f"No entities were found within {self._seconds:g} s") from error

    def _from_table(
        self,
        view: ViewSpec,
        source: PostgreSQLSource,
        since: datetime | None,
        until: datetime,
        entities: int,
        newest: bool,
    ) -> list[tuple[Any, ...]]:
        names = SourceNames(view)
        with connect(self._config, self._seconds) as connection:
            known = {column.name: column for column in source_columns(connection, source) or ()}
            stored = [names.stored(field.name) for field in view.join_keys]
            if not {*stored, names.event} <= known.keys():
                return []  # the join says what is missing
            event = known[names.event].identifier
            conditions = [
                sql.SQL("isfinite({})").format(event),
                sql.SQL("{} <= {}").format(event, sql.Literal(until)),
                *([] if since is None else [sql.SQL("{} >= {}").format(event, sql.Literal(since))]),
                *(sql.SQL("{} IS NOT NULL").format(known[name].identifier) for name in stored),
            ]
            values = [known[name].value(field.dtype) for name, field in zip(stored, view.join_keys, strict=True)]
            shown = [
                sql.SQL("{} AS {}").format(value, sql.Identifier(f"k{place}")) for place, value in enumerate(values)
            ]
            # As text and in the server: PostgreSQL keeps the rows of a random order that come first, and no others.
            query = sql.SQL(
                "SELECT DISTINCT * FROM (SELECT {} FROM {} AS _source WHERE {} ORDER BY {} LIMIT {}) AS _some"
            ).format(
                sql.SQL(", ").join(shown),
                sql.SQL(source.get_table_query_string()),
                sql.SQL(" AND ").join(conditions),
                sql.SQL("{} DESC").format(event) if newest else sql.SQL("random()"),
                sql.Literal(entities),
            )
            try:
                return connection.execute(query).fetchall()
            except psycopg.Error as error:
                state = f" ({error.sqlstate})" if error.sqlstate else ""
                raise StoreUnavailableError(f"PostgreSQL (offline store) could not be sampled{state}") from error


def _native(value: Any, field: FieldSpec) -> Any:
    # A whole numeric of PostgreSQL comes as text, which loses nothing.
    if isinstance(value, str) and field.dtype in ("INT32", "INT64") and value.lstrip("-").isdecimal():
        return int(value)
    return from_arrow(value, field.dtype)
