"""Feast's connection strings, and redis-py's errors in our words."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import redis
from feast.infra.online_stores.redis import RedisOnlineStore as Stock

from app.errors import StoreUnavailableError
from app.stores.redis_clients import parse
from app.stores.redis_errors import store_errors

SECRET = "s3cret"


@pytest.mark.parametrize(
    "connection_string",
    [
        "localhost:6379",
        "localhost",
        "one:1,two:2,three:3,ssl=true,password=a=b",
        "one:1,db=3,socket_timeout=0.25,ssl=false,ssl_ca_certs=/etc/ca.crt",
        'one:1,sentinel_kwargs={"password":"x"},password="in quotes"',
        "one:1,username=reader,password=p w#&%:@/",
    ],
)
def test_a_connection_string_is_read_as_feast_reads_it(connection_string: str) -> None:
    assert parse(connection_string) == Stock._parse_connection_string(connection_string)


@pytest.mark.parametrize("password", ["1e5", "007", "12345678901234567890123", "1.10", "true", "null", "{}", ""])
def test_a_password_is_text_whatever_it_looks_like(password: str) -> None:
    assert parse(f"one:1,password={password}")[1] == {"password": password}
    assert parse(f'one:1,password="{password}"')[1] == {"password": password}


def chained(cause: Exception) -> Exception:
    """As redis-py raises it while it handles another one."""
    error = redis.ConnectionError(f"Error 1 connecting to redis.internal:6379 with {SECRET}")
    error.__context__ = cause
    return error


cluster_error: Any = redis.exceptions.RedisClusterException
untrusted: Any = ssl.SSLCertVerificationError(1, "certificate verify failed")
untrusted.verify_message = "unable to get local issuer certificate"
REFUSALS: list[tuple[Exception, str]] = [
    (redis.ConnectionError(SECRET), "Redis does not answer (ConnectionError)"),
    (redis.TimeoutError(SECRET), "Redis does not answer (TimeoutError)"),
    (redis.sentinel.MasterNotFoundError(SECRET), "Redis does not answer (MasterNotFoundError)"),
    (redis.AuthenticationError(f"WRONGPASS {SECRET}"), "Redis refuses the password"),
    (redis.ResponseError(f"OOM command not allowed {SECRET}"), "Redis refuses the command (OOM)"),
    (cluster_error(SECRET), "Redis Cluster cannot be used (RedisClusterException)"),
    (chained(untrusted), "The certificate of Redis is not accepted (unable to get local issuer certificate)"),
    (chained(ssl.SSLError(1, SECRET)), "Redis and TLS do not agree (SSLError)"),
    (chained(FileNotFoundError(2, SECRET)), "A file that the connection string of Redis names does not exist"),
]


@pytest.mark.parametrize(("error", "says"), REFUSALS, ids=[says for _, says in REFUSALS])
def test_an_error_says_what_is_wrong_and_nothing_secret(error: Exception, says: str) -> None:
    with pytest.raises(StoreUnavailableError) as raised, store_errors():
        raise error
    assert raised.value.detail == says
    assert raised.value.__cause__ is error
