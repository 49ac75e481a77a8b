"""The connections of reads for the three kinds of Redis that Feast knows. redis-py makes each, by the options of the
connection string; nothing is connected before the first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis.asyncio
from feast import RepoConfig
from feast.infra.online_stores.redis import RedisType
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from app.stores.redis_channels import Channels
from app.stores.redis_clients import parse
from app.stores.redis_cluster import ClusterChannels
from app.stores.redis_reads import Commands


def open_channels(config: RepoConfig) -> Commands:
    """Whatever reads this repo's Redis. Options in the connection string win over ours."""
    store = config.online_store
    nodes, given = parse(store.connection_string)
    addresses = [(node["host"], int(node.get("port", 6379))) for node in nodes]
    timeout: float = store.read_timeout
    # Retries would outlive the deadline; a read that finds its connection dead tries once more itself.
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        **given,
        # In RESP3 the same commands are answered in other shapes.
        "protocol": 2,
    }
    bounds = (store.read_connections, store.read_waiting)
    if store.redis_type == RedisType.redis_cluster:

        def cluster() -> redis.asyncio.RedisCluster:
            startup = [ClusterNode(*address) for address in addresses]
            return redis.asyncio.RedisCluster(startup_nodes=startup, **options)

        return ClusterChannels(cluster, config.project, *bounds)
    if store.redis_type == RedisType.redis_sentinel:
        client = _Client(lambda: _sentinel(store.sentinel_master, addresses, dict(options)))
    else:
        client = _Client(lambda: redis.asyncio.Redis(host=addresses[0][0], port=addresses[0][1], **options))
    return Channels(client.make_connection, *bounds, client.close)


class _Client:
    """A client of redis-py that is made when it is first needed, in the event loop that needs it."""

    def __init__(self, make: Callable[[], redis.asyncio.Redis]) -> None:
        self._make = make
        self._client: redis.asyncio.Redis | None = None

    def make_connection(self) -> AbstractConnection:
        if self._client is None:
            self._client = self._make()
        connection: AbstractConnection = self._client.connection_pool.make_connection()
        return connection

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if isinstance(client.connection_pool, SentinelConnectionPool):
            for sentinel in client.connection_pool.sentinel_manager.sentinels:
                await sentinel.aclose()
        await client.aclose()


def _sentinel(master: str, addresses: list[tuple[str, int]], options: dict[str, Any]) -> redis.asyncio.Redis:
    # As for writes (app.stores.redis_clients): all Sentinels together may take as long as one server, and what they
    # need of their own is in sentinel_kwargs, with which redis-py no longer passes them the timeouts.
    timeouts = {name: value for name, value in options.items() if name.startswith("socket_")}
    for name in ("socket_timeout", "socket_connect_timeout"):
        timeouts[name] = options[name] / (len(addresses) + 1)
    own = {**timeouts, "retry": Retry(NoBackoff(), 0), **options.pop("sentinel_kwargs", {})}
    client: redis.asyncio.Redis = redis.asyncio.Sentinel(addresses, sentinel_kwargs=own, **options).master_for(master)
    return client
