"""redis-py's clients for the three kinds of Redis that Feast knows, none of which waits longer than it is told to.

redis-py's own retries are off everywhere: on a server that hangs each of them costs a whole timeout. Options in the
connection string win over ours.
"""

from __future__ import annotations

import json
from typing import Any

import redis
from feast.infra.online_stores.redis import RedisOnlineStoreConfig, RedisType
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster, cleanup_kwargs
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

_TEXTS = {"password", "username", "client_name", "ssl_password"}


def parse(connection_string: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Feast's form, host:port,...,option=value,...: the nodes and the options, as Feast returns them.

    Feast reads every value as JSON where it can, so that it knows a password 1e5 as 100000.0, and true or null as none
    at all. Here what must be text stays text, unless it is written as a JSON string, in quotes.
    """
    nodes: list[dict[str, str]] = []
    options: dict[str, Any] = {}
    for part in connection_string.split(","):
        name, is_option, value = part.partition("=")
        if not is_option:
            nodes.append(dict(zip(["host", "port"], part.split(":"), strict=False)))
            continue
        try:
            decoded = json.loads(value)
        except json.JSONDecodeError:
            decoded = value
        options[name] = value if name in _TEXTS and not isinstance(decoded, str) else decoded
    return nodes, options


def connect(config: RedisOnlineStoreConfig, timeout: float) -> Any:
    """A client whose every wait ends after `timeout` seconds, connections and answers alike.

    Only a Cluster is asked for its shape at once, which a node that hangs may delay by another timeout. Raises
    redis-py's errors; `close` it at the end.
    """
    nodes, given = parse(config.connection_string)
    addresses = [(node["host"], int(node.get("port", 6379))) for node in nodes]
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **given}
    if config.redis_type == RedisType.redis_cluster:
        return _cluster(addresses, options)
    if config.redis_type == RedisType.redis_sentinel:
        return _sentinel(config.sentinel_master, addresses, options)
    return redis.Redis(*addresses[0], retry=_never(), **options)


def ping(client: Any) -> None:
    """Raise redis-py's error unless Redis answers; of a Cluster one master must.

    A Cluster without one of its masters still serves the keys of the others: it is not for readiness to stop that.
    """
    if not isinstance(client, RedisCluster):
        client.ping()
        return
    masters = client.get_primaries()
    for number, node in enumerate(masters, start=1):
        try:
            client.get_redis_connection(node).ping()
        except (redis.ConnectionError, redis.TimeoutError):
            if number == len(masters):
                raise
        else:
            return


def close(client: Any) -> None:
    """Close every connection of a client, those to Sentinels included."""
    client.close()
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            sentinel.close()


def _sentinel(master: str, addresses: list[tuple[str, int]], options: dict[str, Any]) -> Any:
    # All Sentinels together may take as long as one server. What they need beyond that (a password of their own) is
    # in sentinel_kwargs, with which redis-py no longer passes them the timeouts.
    timeouts = {name: value for name, value in options.items() if name.startswith("socket_")}
    for name in ("socket_timeout", "socket_connect_timeout"):
        timeouts[name] = options[name] / len(addresses)
    own = {**timeouts, "retry": _never(), **options.pop("sentinel_kwargs", {})}
    return Sentinel(addresses, sentinel_kwargs=own, retry=_never(), **options).master_for(master)


def _cluster(addresses: list[tuple[str, int]], options: dict[str, Any]) -> Any:
    first = ClusterNode(*_first_that_answers(addresses, options))
    # While it learns the cluster's shape it may need a second node. Later that would double the wait for a hung one.
    client: Any = RedisCluster(startup_nodes=[first], retry=Retry(NoBackoff(), 1), **options)
    client.set_retry(_never())
    return client


def _first_that_answers(addresses: list[tuple[str, int]], options: dict[str, Any]) -> tuple[str, int]:
    """Where to learn the shape of the cluster; all nodes together may take as long as one."""
    shares = {name: options[name] / len(addresses) for name in ("socket_timeout", "socket_connect_timeout")}
    failure: Exception = redis.ConnectionError("the connection string names no node")
    for host, port in addresses:
        with redis.Redis(host, port, retry=_never(), **{**cleanup_kwargs(**options), **shares}) as node:
            try:
                node.ping()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                failure = error
            else:
                return host, port
    raise failure


def _never() -> Retry:
    return Retry(NoBackoff(), 0)
