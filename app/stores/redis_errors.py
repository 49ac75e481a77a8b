"""What redis-py raises, in Freshet's words: never an address, never a password."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator

import redis

from app.errors import StoreUnavailableError


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Turns every error of redis-py's into a StoreUnavailableError, with the original as its cause."""
    try:
        yield
    # RedisClusterException is no RedisError.
    except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
        raise StoreUnavailableError(describe(error)) from error


def describe(error: Exception) -> str:
    """One sentence for an error of redis-py's. Its own message may hold the address; that is for the log."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate of Redis is not accepted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"Redis and TLS do not agree ({getattr(cause, 'reason', None) or type(cause).__name__})"
        if isinstance(cause, FileNotFoundError):
            return "A file that the connection string of Redis names does not exist"
    if isinstance(error, redis.AuthenticationError):
        return "Redis refuses the password"
    if isinstance(error, redis.exceptions.RedisClusterException):
        return f"Redis Cluster cannot be used ({type(error).__name__})"
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
        return f"Redis does not answer ({type(error).__name__})"
    # Out of memory, loading, read-only replica...: the first word is Redis' code for it.
    return f"Redis refuses the command ({str(error).partition(' ')[0]})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
