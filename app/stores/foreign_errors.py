"""What an offline store of somebody else says went wrong, as an error of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from feast import RepoConfig
from pydantic import SecretStr

from app.errors import ConfigurationError, FreshetError, NotServableError, StoreUnavailableError

_OURS = (TypeError, AttributeError, AssertionError, LookupError, ValueError)
"""What Feast raises where a definition does not suit the store."""
_LONGEST = 300
_SHORT = 3
"""Texts up to here, such as a region's or a port's, say nothing and are part of too many words."""


def said_by(config: RepoConfig, view: str, error: Exception) -> FreshetError:
    """The error to raise: the first line of what the store says, without any value of its configuration."""
    if isinstance(error, FreshetError):
        return error
    words = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    # Longest first: a password may begin with the user's name.
    for value in sorted(set(_texts(config.offline_store.model_dump(exclude={"type"}))), key=len, reverse=True):
        words = words.replace(value, "***")
    detail = f"The offline store has not found the rows of feature view {view}: {type(error).__name__}: "
    detail += words[:_LONGEST]
    if isinstance(error, NotImplementedError):
        return NotServableError(detail)
    return ConfigurationError(detail) if isinstance(error, _OURS) else StoreUnavailableError(detail)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a nested value, and whatever is kept secret."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set):
        for one in value:
            yield from _texts(one)
        return
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str) and len(value) > _SHORT:
        yield value
