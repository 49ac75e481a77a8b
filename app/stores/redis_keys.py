"""Which keys in Redis are a project's.

Feast's key is the serialized entity key, then the project's name. Feast finds a project's keys by their ending, so that
the keys of `mylab` are those of `lab` to it, and so are those of `ab` whose last value ends in `l`. The lengths inside
the entity key say where it ends.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from feast.infra.key_encoding_utils import serialize_entity_key_prefix

_HEADER = struct.Struct("<II")


def project_keys(client: Any, join_keys: Sequence[str], project: str) -> Iterator[bytes]:
    """The keys of one project under these join keys."""
    prefix = bytes(serialize_entity_key_prefix(list(join_keys)))
    # The prefix is binary, and what is a character of a pattern in it must stand for itself.
    pattern = _literal(prefix) + b"*" + _literal(project.encode())
    for key in client.scan_iter(pattern, count=1000):
        if _rest(key, len(prefix), len(join_keys)) == project.encode():
            yield key


def ending_pattern(project: str) -> bytes:
    """What all keys of a project match, and some of others."""
    return b"*" + _literal(project.encode())


def _literal(text: bytes) -> bytes:
    return re.sub(rb"([*?\[\]\\])", rb"\\\1", text)


def _rest(key: bytes, at: int, values: int) -> bytes | None:
    """What follows the values of an entity key, which begin at `at`; None where it holds fewer of them."""
    for _ in range(values):
        if at + _HEADER.size > len(key):
            return None
        _, length = _HEADER.unpack_from(key, at)
        at += _HEADER.size + length
    return key[at:]
