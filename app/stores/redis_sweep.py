"""A walk over the keys of a Redis in stretches: each begins where the one before has ended, so that all keys have their
turn, however many there are.

SCAN goes through a table of hashed keys: whatever stretch of it one takes, the keys in it are as good as random.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.cluster import RedisCluster

_KEYS_PER_SCAN = 500
_MOST_SCANS = 200
"""Of one stretch: together they took Redis about a tenth of a second, and each less than one millisecond
(docs/adr/0018-sampling-and-watermarks.md)."""
_READS_AT_ONCE = 200


class _Node:
    """A server, or a master of a Cluster, and how far it has been walked."""

    def __init__(self, name: str, client: Any, cursor: int) -> None:
        self.name = name
        self.client = client
        self.cursor = cursor
        self.from_start = cursor == 0
        self.size = 1
        self.looked_at = 0
        self.complete = False
        self.failure: Exception | None = None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """A node of many may fail alone."""
        try:
            yield
        except redis.RedisError as error:
            self.failure = error


class Sweep:
    """One stretch. Raises redis-py's errors where no node answers at all."""

    def __init__(self, client: Any, pattern: bytes, cursors: dict[str, int], patience: float) -> None:
        """`cursors`, by node, say where to begin. `patience` seconds after a first look at every node nothing more is
        asked."""
        self._pattern = pattern
        self._scans = 0
        self._nodes = {name: _Node(name, node, cursors.get(name, 0)) for name, node in _nodes(client)}
        for node in self._nodes.values():
            with node.asked():
                node.size = max(1, node.client.dbsize())
        # From here on: nodes that hang shall not take the time of the others.
        self._deadline = time.monotonic() + patience
        self._check()

    @property
    def complete(self) -> bool:
        """Whether every key has been seen that was there all the time."""
        return all(node.complete for node in self._nodes.values())

    @property
    def in_time(self) -> bool:
        """Whether anything may be asked yet."""
        return time.monotonic() < self._deadline

    def cursors(self) -> dict[str, int]:
        """Where the next stretch begins."""
        return {name: node.cursor for name, node in self._nodes.items()}

    def scan(self) -> tuple[str, list[bytes]] | None:
        """Some more keys, and the name of their node; None at the end. From each node as large a share as it has of
        the keys. A key may come twice."""
        waiting = [node for node in self._nodes.values() if not (node.complete or node.failure)]
        if not waiting or self._scans == _MOST_SCANS or not self.in_time:
            return None
        node = min(waiting, key=lambda node: node.looked_at / node.size)
        self._scans += 1
        keys: list[bytes] = []
        with node.asked():
            node.cursor, keys = node.client.scan(node.cursor, match=self._pattern, count=_KEYS_PER_SCAN)
            node.looked_at += _KEYS_PER_SCAN
            if node.cursor == 0:
                node.complete = node.from_start
                node.from_start = True
        self._check()
        return node.name, keys

    def read(self, name: str, keys: Sequence[bytes], fields: Sequence[bytes]) -> list[Sequence[bytes | None] | None]:
        """These fields of each hash on a node; None for what is no hash, or not there (any more)."""
        found: list[Any] = []
        node = self._nodes.get(name)
        if node is not None and node.failure is None:
            with node.asked():
                for start in range(0, len(keys), _READS_AT_ONCE):
                    with node.client.pipeline(transaction=False) as pipe:
                        for key in keys[start : start + _READS_AT_ONCE]:
                            pipe.hmget(key, fields)
                        found += pipe.execute(raise_on_error=False)
            self._check()
        # Of another type, or, on a Cluster, moved to another node meanwhile.
        rows = [None if isinstance(row, Exception) else row for row in found]
        return rows + [None] * (len(keys) - len(rows))

    def failed(self, name: str) -> bool:
        """Whether there is such a node that does not answer."""
        return name in self._nodes and self._nodes[name].failure is not None

    def _check(self) -> None:
        failures = [node.failure for node in self._nodes.values() if node.failure]
        if len(failures) == len(self._nodes):
            raise failures[0] if failures else redis.ConnectionError("the cluster has no master")


def node_of(client: Any, key: bytes) -> str:
    """The name of the node that has this key. Raises redis-py's errors."""
    return str(client.get_node_from_key(key).name) if isinstance(client, RedisCluster) else ""


def _nodes(client: Any) -> list[tuple[str, Any]]:
    if not isinstance(client, RedisCluster):
        return [("", client)]
    return [(node.name, client.get_redis_connection(node)) for node in client.get_primaries()]
