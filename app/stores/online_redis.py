"""Feast's Redis online store with the rules kept: a compare-and-set write inside Redis, and reads that cannot hang.

The layout is Feast's: one hash per entity, fields mmh3(view:feature) and `_ts:<view>`, so stock Feast reads what this
writes. The created timestamp lies beside it in `_fc:<view>` (see compare.lua).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

import redis
from feast import FeatureView, RepoConfig
from feast.infra.online_stores import redis as stock
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from app.domain import PushOutcome
from app.stores import redis_clients
from app.stores.encoders import encode_times
from app.stores.protos import FeastRow, Progress, decode_timestamp
from app.stores.redis_errors import store_errors
from app.stores.redis_keys import project_keys
from app.stores.rows import EncodedRows, from_feast

_SCRIPT = (Path(__file__).parent / "compare.lua").read_text(encoding="utf-8")
_SCRIPT_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
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
        """Compare-and-set of every row; each is atomic in Redis, against every other writer that uses this script."""
        store = config.online_store
        view = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
        # A Cluster wants all keys of one script in one slot, and a node of it may hang: there it is a script per row,
        # one after the other.
        alone = store.redis_type == stock.RedisType.redis_cluster
        step, together = (1, 1) if alone else (_ROWS_PER_SCRIPT, _SCRIPTS_AT_ONCE * _ROWS_PER_SCRIPT)
        project = config.project.encode()
        keys = [key + project for key in rows.keys]
        names = [store.key_ttl_seconds or 0, *_names(view, rows.features)]
        columns = [encode_times(rows.event), encode_times(rows.created), *rows.cells]
        outcomes: list[PushOutcome] = []
        with self._using(store, store.write_timeout) as client:
            for first in range(0, len(keys), together):
                runs = [
                    (keys[start : start + step], [*names, *(cells.packed(start, start + step) for cells in columns)])
                    for start in range(first, min(first + together, len(keys)), step)
                ]
                outcomes += [_OUTCOMES[reply] for replies in _evaluate(client, runs) for reply in replies]
        return outcomes

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKeyProto],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """Rows in the order of the keys, (None, None) where there is none; timestamps are aware, in UTC."""
        view = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
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
        view = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
        fields = [f"_ts:{view}", f"_fc:{view}", *(_mmh3(f"{view}:{feature.name}") for feature in table.features)]
        with store_errors():
            for key in project_keys(client, table.join_keys, config.project):
                # Redis removes a hash with its last field.
                client.hdel(key, *fields)

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


def _evaluate(client: Any, runs: Sequence[tuple[Sequence[bytes], Sequence[bytes | int]]]) -> list[list[int]]:
    """Run the script, for each of these keys and arguments, where the keys are: all are sent before a reply is awaited.

    redis-py's own would load the script into every master first, hung ones included.
    """
    if len(runs) == 1:
        ((keys, arguments),) = runs
        try:
            return [client.evalsha(_SCRIPT_SHA, len(keys), *keys, *arguments)]
        except redis.exceptions.NoScriptError:
            return [client.eval(_SCRIPT, len(keys), *keys, *arguments)]
    with client.pipeline(transaction=False) as pipe:
        for keys, arguments in runs:
            pipe.evalsha(_SCRIPT_SHA, len(keys), *keys, *arguments)
        replies = pipe.execute(raise_on_error=False)
    for place, (keys, arguments) in enumerate(runs):
        if isinstance(replies[place], redis.exceptions.NoScriptError):
            replies[place] = client.eval(_SCRIPT, len(keys), *keys, *arguments)
        elif isinstance(replies[place], Exception):
            raise replies[place]
    return replies


@functools.lru_cache(maxsize=1000)
def _names(view: str, features: tuple[str, ...]) -> tuple[bytes, ...]:
    """The hash fields of a view as compare.lua wants them: its two times, then its features."""
    return (f"_ts:{view}".encode(), f"_fc:{view}".encode(), *(_mmh3(f"{view}:{name}") for name in features))


def _row(names: Sequence[str], reply: Sequence[bytes | None]) -> tuple[datetime | None, dict[str, ValueProto] | None]:
    if reply[0] is None:
        return None, None
    values = {name: ValueProto.FromString(data or b"") for name, data in zip(names, reply[1:], strict=True)}
    return decode_timestamp(reply[0]), values
