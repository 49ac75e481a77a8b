"""Which servers a test session uses: those that the environment names, else our own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import redis
from sqlalchemy import make_url

from tests.servers.binaries import find_postgres, find_redis
from tests.servers.errors import NoServerError
from tests.servers.postgres import Postgres, PostgresServer
from tests.servers.redis import Redis, RedisServer

POSTGRES_VARIABLE = "FRESHET_TEST_POSTGRES_URL"
REDIS_VARIABLE = "FRESHET_TEST_REDIS_URL"


def announce_postgres() -> str:
    """What `postgres_for_tests` is going to use, without starting or asking anybody."""
    return _announce(POSTGRES_VARIABLE, "PostgreSQL", lambda: find_postgres().description)


def announce_redis() -> str:
    """What `redis_for_tests` is going to use, without starting or asking anybody."""
    return _announce(REDIS_VARIABLE, "Redis", lambda: find_redis().description)


@contextmanager
def postgres_for_tests() -> Iterator[Postgres]:
    """The server of FRESHET_TEST_POSTGRES_URL, where the tests make databases of their own, or a server of our own."""
    given = os.environ.get(POSTGRES_VARIABLE)
    if not given:
        with PostgresServer(durable=False) as server:
            yield server
        return
    base = make_url(given).set(drivername="postgresql")
    where = f"{base.host}:{base.port or 5432} ({POSTGRES_VARIABLE})"
    try:
        with psycopg.connect(base.render_as_string(hide_password=False), connect_timeout=10) as connection:
            version = connection.info.parameter_status("server_version") or "of an unknown version"
            number = connection.info.server_version
    except psycopg.Error as error:
        raise NoServerError(f"PostgreSQL at {where} can't be used: {error}") from None
    if number < 140000:
        raise NoServerError(f"PostgreSQL at {where} is version {version}; 14 is the oldest that will do")
    yield Postgres(base, f"PostgreSQL {version} at {where}")


@contextmanager
def redis_for_tests() -> Iterator[Redis]:
    """The database of FRESHET_TEST_REDIS_URL, if it is empty, for the tests flush it; or a server of our own."""
    given = os.environ.get(REDIS_VARIABLE)
    if not given:
        with RedisServer() as server:
            yield server
        return
    if "PYTEST_XDIST_WORKER" in os.environ:
        raise NoServerError(f"Tests at the same time would flush each other's keys in {REDIS_VARIABLE}: set AT_ONCE=0")
    found = Redis(given, "")
    where = f"{found.connection_string.split(',')[0]} ({REDIS_VARIABLE})"
    try:
        with found.client() as client:
            version = found.about(client)["redis_version"]
            keys = client.dbsize()
    except redis.RedisError as error:
        raise NoServerError(f"Redis at {where} can't be used: {error}") from None
    if keys:
        raise NoServerError(
            f"Redis at {where} holds {keys} keys in this database, and the tests would flush them: "
            "name an empty database, such as redis://host:6379/15"
        )
    found.description = f"Redis {version} at {where}"
    try:
        yield found
    finally:
        found.flush()


def _announce(variable: str, product: str, find: Callable[[], str]) -> str:
    if os.environ.get(variable):
        return f"{product} of {variable}"
    try:
        return find()
    except NoServerError as error:
        return f"NONE: {error}"
