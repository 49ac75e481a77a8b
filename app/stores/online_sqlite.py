"""Feast's SQLite online store with the rules kept: a compare-and-set write, and timestamps to the microsecond.

Stock Feast keeps whole seconds in `event_ts` and upserts late rows over newer ones. This class writes the same tables,
which stock Feast reads, and adds one more "feature" per entity: its clock (app.stores.sqlite_clock).
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores import sqlite as stock
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from app.domain import PushOutcome, ViewSpec, to_moment
from app.freshness.ports import ViewSample
from app.stores.compare import Stored, judge
from app.stores.marks import Mark, newest_of, now_in_microseconds
from app.stores.protos import FeastRow, Progress
from app.stores.rows import EncodedRows, from_feast
from app.stores.sqlite_clock import clock_cell, clock_of, exact_moment, exact_row, stock_created, stock_seconds
from app.stores.sqlite_looks import READ_PATIENCE, read_marks, sample_views
from app.stores.sqlite_marks import keep_mark
from app.stores.sqlite_tables import quoted, sqlite_errors, table_name

# SQLite's default limit of bound parameters is 32,766; three per row leave room.
_KEYS_PER_QUERY = 5_000


class SqliteOnlineStoreConfig(stock.SqliteOnlineStoreConfig):
    """Feast's options, under the name of our class."""

    type: Literal["app.stores.online_sqlite.SqliteOnlineStore"] = "app.stores.online_sqlite.SqliteOnlineStore"


class SqliteOnlineStore(stock.SqliteOnlineStore):
    """A Feast online store that any Feast code path may use; `write_rows` also tells what became of every row."""

    def __init__(self) -> None:
        super().__init__()
        self._conn: sqlite3.Connection | None = None
        self._reads: sqlite3.Connection | None = None
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        """The connection of Feast's own methods, such as the making of tables; ours borrow others."""
        if self._conn is None:
            self._conn = _connect(self._get_db_path(config))
        return self._conn

    @contextlib.contextmanager
    def _borrowed(self, config: RepoConfig) -> Iterator[sqlite3.Connection]:
        """A connection for one thread at a time; as many are kept as were ever used at once."""
        with sqlite_errors():
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = _connect(self._get_db_path(config))
            try:
                with connection:
                    yield connection
            finally:
                self._idle.put(connection)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[FeastRow], progress: Progress | None
    ) -> None:
        """Feast's write: older rows are left out, silently, as this interface knows no outcomes."""
        for rows in from_feast(data, config.entity_key_serialization_version):
            self.write_rows(config, table, rows)
        if progress:
            progress(len(data))

    def write_rows(self, config: RepoConfig, table: FeatureView, rows: EncodedRows) -> list[PushOutcome]:
        """Compare-and-set of every row, in one transaction that no other writer can interleave with."""
        name, clock = table_name(config, table), clock_of(table)
        outcomes: list[PushOutcome] = []
        winners: dict[bytes, Stored] = {}
        cells = zip(*rows.cells, strict=True) if rows.features else [()] * len(rows)
        with self._borrowed(config) as connection:
            connection.execute("BEGIN IMMEDIATE")
            stored = self._stored(connection, name, clock, rows.keys)
            for key, event, created, values in zip(rows.keys, rows.event, rows.created, cells, strict=True):
                row = Stored(event, created, dict(zip(rows.features, values, strict=True)))
                outcome = judge(stored.get(key), row)
                outcomes.append(outcome)
                if outcome is PushOutcome.APPLIED:
                    stored[key] = winners[key] = row
            self._upsert(connection, name, clock, winners)
            if winners:
                now = now_in_microseconds()
                mark = Mark(newest_of(rows.event, now), now, outcomes.count(PushOutcome.APPLIED))
                keep_mark(connection, quoted(name), mark)
        return outcomes

    def sample(
        self, config: RepoConfig, views: Sequence[tuple[ViewSpec, FeatureView]], entities: int
    ) -> dict[str, ViewSample]:
        """See app.freshness.ports.OnlineSampler. A view without a table is left out."""
        return sample_views(self._get_db_path(config), config, views, entities)

    def marks(self, config: RepoConfig, tables: Sequence[FeatureView]) -> list[Mark | None]:
        """What writers have left for each of these views. Raises StoreUnavailableError."""
        return read_marks(self._get_db_path(config), config, tables)

    @staticmethod
    def _upsert(connection: sqlite3.Connection, name: str, clock: str, rows: Mapping[bytes, Stored]) -> None:
        connection.executemany(
            f"INSERT INTO {quoted(name)} (entity_key, feature_name, value, value_text, event_ts, created_ts) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, "
            "value_text = excluded.value_text, event_ts = excluded.event_ts, created_ts = excluded.created_ts",
            (
                (key, feature, cell, _text(cell), seconds, created)
                for key, row in rows.items()
                for seconds, created in [(stock_seconds(row.event), stock_created(row))]
                for feature, cell in {**row.values, clock: clock_cell(row)}.items()
            ),
        )

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKeyProto],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """Rows in the order of the keys, (None, None) where there is none; timestamps are aware, in UTC."""
        keys = [_key(config, key) for key in entity_keys]
        with self._borrowed(config) as connection:
            stored = self._stored(connection, table_name(config, table), clock_of(table), keys)
        wanted = requested_features or [feature.name for feature in table.features]
        return [
            (None, None)
            if (row := stored.get(key)) is None
            else (to_moment(row.event), {name: ValueProto.FromString(row.values.get(name, b"")) for name in wanted})
            for key in keys
        ]

    def read_cells(
        self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes], features: Sequence[str]
    ) -> dict[bytes, tuple[int, dict[str, bytes]]]:
        """Event timestamp (microseconds since 1970) and serialized values of at least these features, of every key
        that has a row."""
        cells: dict[bytes, dict[str, bytes]] = {}
        seconds: dict[bytes, int] = {}
        unique = list(dict.fromkeys(keys))
        name, clock = quoted(table_name(config, table)), clock_of(table)
        # Few of many features are looked up one by one; else walking over all of a row is cheaper.
        wanted = [*features, clock] if 2 * len(features) < len(table.features) else []
        among = f"AND feature_name IN ({','.join('?' * len(wanted))})" if wanted else ""
        with sqlite_errors():
            connection = self._reader(config)
            for start in range(0, len(unique), _KEYS_PER_QUERY):
                chunk = unique[start : start + _KEYS_PER_QUERY]
                for key, feature, value, event in connection.execute(
                    f"SELECT entity_key, feature_name, value, event_ts FROM {name} "  # noqa: S608
                    f"WHERE entity_key IN ({','.join('?' * len(chunk))}) {among}",
                    [*chunk, *wanted],
                ):
                    if key in cells:
                        cells[key][feature] = value
                    else:
                        cells[key] = {feature: value}
                    if feature != clock:
                        seconds[key] = max(seconds.get(key, event), event)
                # A row of a stock writer that has none of these features is a row all the same.
                missing = [key for key in chunk if key not in cells] if wanted else []
                for key, event in connection.execute(
                    f"SELECT entity_key, MAX(event_ts) FROM {name} "  # noqa: S608
                    f"WHERE entity_key IN ({','.join('?' * len(missing))}) GROUP BY entity_key",
                    missing,
                ):
                    cells[key], seconds[key] = {}, event
        return {
            key: (exact_moment(features.pop(clock, None), seconds.get(key)), features)
            for key, features in cells.items()
        }

    @staticmethod
    def _stored(connection: sqlite3.Connection, name: str, clock: str, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        cells: dict[bytes, dict[str, tuple[bytes, Any, Any]]] = defaultdict(dict)
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), _KEYS_PER_QUERY):
            chunk = unique[start : start + _KEYS_PER_QUERY]
            rows = connection.execute(
                f"SELECT entity_key, feature_name, value, event_ts, created_ts FROM {quoted(name)} "  # noqa: S608
                f"WHERE entity_key IN ({','.join('?' * len(chunk))})",
                chunk,
            )
            for key, feature, value, event, created in rows:
                cells[key][feature] = (value, event, created)
        return {key: exact_row(features, clock) for key, features in cells.items()}

    def _reader(self, config: RepoConfig) -> sqlite3.Connection:
        """The connection of the event loop, which must not wait as long for a locked file as a writer may."""
        if self._reads is None:
            self._reads = _connect(self._get_db_path(config), READ_PATIENCE)
        return self._reads

    def ping(self, config: RepoConfig) -> None:
        """Raise StoreUnavailableError unless the file can be read."""
        with self._borrowed(config) as connection:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")

    def teardown(self, config: RepoConfig, tables: Any, entities: Any) -> None:
        """Feast's teardown, after our connections are closed."""
        self.disconnect()
        super().teardown(config, tables, entities)

    def disconnect(self) -> None:
        """Close the idle connections and Feast's; its own close is for its async server."""
        while not self._idle.empty():
            self._idle.get_nowait().close()
        for connection in (self._conn, self._reads):
            if connection is not None:
                connection.close()
        self._conn = self._reads = None


def _connect(path: str, patience: float = 5.0) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=patience, check_same_thread=False)
    # Readers then never wait for the writer, nor it for them.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _text(cell: bytes) -> str | None:
    """What stock Feast keeps beside a value as text."""
    text: str | None = extract_text_and_num(ValueProto.FromString(cell), False)[0]
    return text


def _key(config: RepoConfig, key: EntityKeyProto) -> bytes:
    return serialize_entity_key(key, entity_key_serialization_version=config.entity_key_serialization_version)
