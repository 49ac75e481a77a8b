"""Feast's Redis online store with the rules kept: a compare-and-set write inside Redis, and reads that cannot hang.

The layout is Feast's: one hash per entity, fields mmh3(view:feature) and `_ts:<view>`, so stock Feast reads what this
writes. The created timestamp lies beside it in `_fc:<view>` (see compare.lua).
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, cast

import redis
from feast import FeatureView, RepoConfig
from feast.infra.online_stores import redis as stock
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from app.domain import PushOutcome, ViewSpec
from app.freshness.ports import ViewSample
from app.stores import redis_clients
from app.stores.encoders import encode_times
from app.stores.marks import Mark, newest_of, now_in_microseconds
from app.stores.protos import FeastRow, Progress, decode_timestamp
from app.stores.redis_errors import store_errors
from app.stores.redis_keys import project_keys
from app.stores.redis_marks import MarksApart, marks_key, read_marks
from app.stores.redis_samples import RedisSampler
from app.stores.redis_scripts import Run, evaluate, feature_names
from app.stores.rows import EncodedRows, from_feast

_OUTCOMES = {1: PushOutcome.APPLIED, 0: PushOutcome.LATE, 2: PushOutcome.DUPLICATE}
# Long scripts hold up every other client; a hundred rows take Redis well under a millisecond.
_ROWS_PER_SCRIPT = 100
# Sent before the first reply is awaited, so that Redis need not wait for the next. It reads a client's commands some
# kilobytes at a time and serves the others in between. With ten one worker wrote about a fifth more rows than with one.
_SCRIPTS_AT_ONCE = 10


class RedisOnlineStoreConfig(stock.RedisOnlineStoreConfig):
    """Feast's options, and the two deadlines, which come from FRESHET_ONLINE_TIMEOUT and ..._WRITE_TIMEOUT."""

    type: Literal["app.stores.online_redis.RedisOnlineStore"] = "app.stores.online_redis.RedisOnlineStore"
    read_timeout: float = 0.1
    write_timeout: float = 5.0
    read_connections: int = 32
    read_waiting: int = 1000


class RedisOnlineStore(stock.RedisOnlineStore):
    """A Feast online store that any Feast code path may use; `write_rows` also tells what became of every row."""

    def __init__(self) -> None:
        super().__init__()
        self._clients: dict[float, Any] = {}
        self._connecting = threading.Lock()
        self._marks_apart = MarksApart()
        self._sampler = RedisSampler()

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        return self._client_within(online_store_config, online_store_config.read_timeout)

    @staticmethod
    def _parse_connection_string(connection_string: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
        return redis_clients.parse(connection_string)

    def _client_within(self, config: RedisOnlineStoreConfig, timeout: float) -> Any:
        """The redis-py client whose every wait ends after `timeout` seconds.

        Feast's own sets no timeout and leaves redis-py's retries on: with Redis stopped a read then blocks for more
        than twelve seconds. Raises redis-py's errors, as a Cluster is asked for its shape first.
        """
        client = self._clients.get(timeout)
        if client is not None:
            return client
        # Whoever comes while another one waits for a Cluster that hangs must not wait twice.
        if not self._connecting.acquire(timeout=timeout):
            raise redis.TimeoutError("another thread still waits for Redis")
        try:
            if timeout not in self._clients:
                self._clients[timeout] = redis_clients.connect(config, timeout)
            return self._clients[timeout]
        finally:
            self._connecting.release()

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[FeastRow], progress: Progress | None
    ) -> None:
        """Feast's write: older rows are left out, silently, as this interface knows no outcomes."""
        for rows in from_feast(data, config.entity_key_serialization_version):
            self.write_rows(config, table, rows)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[FeastRow], progress: Progress | None
    ) -> None:
        """The same write for Feast's async push; it blocks the loop for the length of one batch."""
        self.online_write_batch(config, table, data, progress)

    def write_rows(self, config: RepoConfig, table: FeatureView, rows: EncodedRows) -> list[PushOutcome]:
        """Compare-and-set of every row; each is atomic in Redis, against every other writer that uses this script.
        The view's mark is kept with them, on a Cluster after them."""
        store = config.online_store
        view, now = _stored_name(config, table), now_in_microseconds()
        # A Cluster wants all keys of one script in one slot, and a node of it may hang: there it is a script per row,
        # one after the other.
        alone = store.redis_type == stock.RedisType.redis_cluster
        step, together = (1, 1) if alone else (_ROWS_PER_SCRIPT, _SCRIPTS_AT_ONCE * _ROWS_PER_SCRIPT)
        project = config.project.encode()
        keys = [key + project for key in rows.keys]
        names = [store.key_ttl_seconds or 0, f"_ts:{view}", f"_fc:{view}"]
        features = feature_names(view, rows.features)
        columns = [encode_times(rows.event), encode_times(rows.created), *rows.cells]
        marks = marks_key(config.project)

        def run(start: int, stop: int) -> Run:
            mark = ("", 0, 0) if alone else (view, newest_of(rows.event[start:stop], now), now)
            cells = [column.packed(start, stop) for column in columns]
            return [*keys[start:stop], *([] if alone else [marks])], [*names, *mark, *features, *cells]

        outcomes: list[PushOutcome] = []
        try:
            with self._using(store, store.write_timeout) as client:
                for first in range(0, len(keys), together):
                    last = min(first + together, len(keys))
                    runs = [run(start, min(start + step, last)) for start in range(first, last, step)]
                    outcomes += [_OUTCOMES[reply] for replies in evaluate(client, runs) for reply in replies]
        finally:
            if alone and (applied := outcomes.count(PushOutcome.APPLIED)):
                mark = Mark(newest_of(rows.event[: len(outcomes)], now), now, applied)
                # By the short timeout: the rows have been written, and the node of the marks may be another one.
                connect = functools.partial(self._client_within, store, store.read_timeout)
                self._marks_apart.keep(connect, config.project, view, mark)
        return outcomes

    def sample(
        self, config: RepoConfig, views: Sequence[tuple[ViewSpec, FeatureView]], entities: int
    ) -> dict[str, ViewSample]:
        """See app.freshness.ports.OnlineSampler."""
        store = config.online_store
        stored = {_stored_name(config, table): view for view, table in views}
        with contextlib.ExitStack() as stack:
            stack.enter_context(store_errors())
            if store.redis_type == stock.RedisType.redis_cluster:
                # One of its own, which knows the nodes of this moment.
                client = redis_clients.connect(store, store.write_timeout)
                stack.callback(redis_clients.close, client)
            else:
                client = self._client_within(store, store.write_timeout)
            version = config.entity_key_serialization_version
            return self._sampler.sample(client, config.project, version, stored, entities, store.write_timeout)

    def marks(self, config: RepoConfig, tables: Sequence[FeatureView]) -> list[Mark | None]:
        """What writers have left for each of these views. Raises StoreUnavailableError.

        On a Cluster none where their node does not answer: it is one of many, and the others can be sampled.
        """
        store = config.online_store
        apart = store.redis_type == stock.RedisType.redis_cluster
        gone: tuple[type[Exception], ...] = (redis.ConnectionError, redis.TimeoutError) if apart else ()
        with self._using(store, store.write_timeout) as client:
            try:
                return read_marks(client, config.project, [_stored_name(config, table) for table in tables])
            except gone:
                return [None] * len(tables)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKeyProto],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """Rows in the order of the keys, (None, None) where there is none; timestamps are aware, in UTC."""
        view = _stored_name(config, table)
        names = requested_features or [feature.name for feature in table.features]
        fields = [f"_ts:{view}", *(_mmh3(f"{view}:{name}") for name in names)]
        keys = self._generate_redis_keys_for_entities(config, entity_keys)
        with store_errors():
            replies = self._read_hash_fields(config, [(key, fields) for key in keys])
        return [_row(names, cast("Sequence[bytes | None]", reply)) for reply in replies]

    def delete_entity_values(self, config: RepoConfig, join_keys: list[str]) -> None:
        """Feast's teardown: every row under these join keys, of this project and of no other."""
        client = self._client_within(config.online_store, config.online_store.write_timeout)
        with store_errors():
            for key in project_keys(client, join_keys, config.project):
                client.unlink(key)

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Feast's removal of a view: its fields in every hash of this project, and hashes that hold no other view's."""
        client = self._client_within(config.online_store, config.online_store.write_timeout)
        view = _stored_name(config, table)
        fields = [f"_ts:{view}", f"_fc:{view}", *(_mmh3(f"{view}:{feature.name}") for feature in table.features)]
        with store_errors():
            for key in project_keys(client, table.join_keys, config.project):
                # Redis removes a hash with its last field.
                client.hdel(key, *fields)
            client.hdel(marks_key(config.project), view)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Any) -> None:
        """Feast's teardown, and the marks of these views."""
        super().teardown(config, tables, entities)
        client = self._client_within(config.online_store, config.online_store.write_timeout)
        with store_errors():
            if tables:
                client.hdel(marks_key(config.project), *(_stored_name(config, table) for table in tables))

    def ping(self, config: RepoConfig) -> None:
        """Raise StoreUnavailableError unless Redis answers within the read timeout; of a Cluster one master must."""
        store = config.online_store
        with self._using(store, store.read_timeout) as client:
            redis_clients.ping(client)

    def disconnect(self) -> None:
        """Close every connection; Feast's own close is for its async server."""
        for client in self._clients.values():
            redis_clients.close(client)
        self._clients.clear()

    @contextlib.contextmanager
    def _using(self, config: RedisOnlineStoreConfig, timeout: float) -> Iterator[Any]:
        with store_errors():
            client = self._client_within(config, timeout)
            try:
                yield client
            except redis.exceptions.RedisClusterException:
                # Of all the nodes that it had found none is there. The next client begins with the connection string.
                if self._clients.get(timeout) is client:
                    del self._clients[timeout]
                raise


def _stored_name(config: RepoConfig, table: FeatureView) -> str:
    return str(compute_versioned_name(table, config.registry.enable_online_feature_view_versioning))


def _row(names: Sequence[str], reply: Sequence[bytes | None]) -> tuple[datetime | None, dict[str, ValueProto] | None]:
    if reply[0] is None:
        return None, None
    values = {name: ValueProto.FromString(data or b"") for name, data in zip(names, reply[1:], strict=True)}
    return decode_timestamp(reply[0]), values
