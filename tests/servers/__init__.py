"""Real servers for the tests: started from binaries on this machine, stopped again whatever happens.

`postgres_for_tests` and `redis_for_tests` choose the source: a server that the environment names, else the system's
binaries, else those inside the development wheels. `PostgresServer` and `RedisServer` always start a server of their
own, which a test may pause, kill and restart; `RedisCluster` and `RedisSentinel` start several. `PrometheusServer` is
of the system's binaries alone: no wheel has them.
"""

from tests.servers.binaries import (
    PostgresBinaries,
    PrometheusBinaries,
    RedisBinary,
    find_postgres,
    find_prometheus,
    find_redis,
)
from tests.servers.errors import NoServerError, PortTakenError, ServerError
from tests.servers.postgres import Database, Postgres, PostgresServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.redis import Redis, RedisServer
from tests.servers.rediscluster import ClusterNode, RedisCluster
from tests.servers.redissentinel import RedisSentinel
from tests.servers.sources import announce_postgres, announce_redis, postgres_for_tests, redis_for_tests

__all__ = [
    "ClusterNode",
    "Database",
    "NoServerError",
    "PortTakenError",
    "Postgres",
    "PostgresBinaries",
    "PostgresServer",
    "PrometheusBinaries",
    "PrometheusServer",
    "Redis",
    "RedisBinary",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ServerError",
    "announce_postgres",
    "announce_redis",
    "find_postgres",
    "find_prometheus",
    "find_redis",
    "postgres_for_tests",
    "redis_for_tests",
]
