"""Reads on Redis Cluster: every key goes to the node that holds its slot, and follows the slot when it moves.

redis-py finds the nodes and says which slot is where; which key belongs to which slot, what MOVED and ASK say, and when
to look again are decided here, because the commands do not go through redis-py's client.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis
import structlog
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from app.errors import StoreUnavailableError
from app.stores.redis_channels import Channels

log = structlog.get_logger(__name__)

_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_MOST_REDIRECTIONS = 5

Address = tuple[str, int]


class ClusterChannels:
    """Channels to every node of a cluster. Belongs to one event loop until it is closed."""

    def __init__(self, make: Callable[[], RedisCluster], project: str, limit: int, waiting: int) -> None:
        self._make = make
        self._project = project.encode()
        self._bounds = (limit, waiting)
        self._cluster: RedisCluster | None = None
        self._options: dict[str, Any] = {}
        self._slots: list[Address | None] = []
        self._nodes: dict[Address, Channels] = {}
        self._refreshing: asyncio.Task[None] | None = None

    async def read(self, keys: Sequence[bytes], commands: Sequence[bytes], deadline: float) -> list[Any]:
        """See app.stores.redis_reads.Commands."""
        if not self._slots:
            await self._first_look(deadline)
        replies: list[Any] = [None] * len(keys)
        targets = {position: (self._node_of(key), False) for position, key in enumerate(keys)}
        for _ in range(_MOST_REDIRECTIONS):
            by_node: dict[tuple[Address, bool], list[int]] = defaultdict(list)
            for position, target in targets.items():
                by_node[target].append(position)
            await self._read_nodes(by_node, commands, replies, deadline)
            targets = {
                position: redirected
                for position in targets
                if isinstance(replies[position], hiredis.ReplyError)
                and (redirected := self._redirected(replies[position], targets[position][0]))
            }
            if not targets:
                return replies
        raise StoreUnavailableError("Redis Cluster keeps redirecting; its slots are on the move")

    async def _read_nodes(
        self,
        by_node: dict[tuple[Address, bool], list[int]],
        commands: Sequence[bytes],
        replies: list[Any],
        deadline: float,
    ) -> None:
        async def read_node(address: Address, ask: bool, positions: list[int]) -> None:
            opening, each = (_ASKING, 2) if ask else (b"", 1)
            payload = b"".join([opening + commands[position] for position in positions])
            try:
                answers = await self._channels(address).exchange(payload, each * len(positions), deadline)
            except StoreUnavailableError:
                # Perhaps a replica has taken its place; the next read shall know.
                self._look_again()
                raise
            for position, answer in zip(positions, answers[each - 1 :: each], strict=True):
                replies[position] = answer

        if len(by_node) == 1:
            (((address, ask), positions),) = by_node.items()
            await read_node(address, ask, positions)
        else:
            await asyncio.gather(*(read_node(*target, positions) for target, positions in by_node.items()))

    def _node_of(self, key: bytes) -> Address:
        address = self._slots[key_slot(key + self._project)]
        if address is None:
            self._look_again()
            raise StoreUnavailableError("No node of the Redis Cluster holds the slot of this key")
        return address

    def _redirected(self, error: Exception, asked: Address) -> tuple[Address, bool] | None:
        """Where a reply sends us, and whether by ASK; None where it is no redirection."""
        kind, _, rest = str(error).partition(" ")
        if kind not in ("MOVED", "ASK"):
            return None
        slot, _, place = rest.partition(" ")
        host, _, port = place.rpartition(":")
        address = (host or asked[0], int(port))
        if kind == "MOVED":
            self._slots[int(slot)] = address
            self._look_again()
        return address, kind == "ASK"

    def _channels(self, address: Address) -> Channels:
        if address not in self._nodes:
            node = ClusterNode(*address, **self._options)
            self._nodes[address] = Channels(lambda: node.connection_class(**node.connection_kwargs), *self._bounds)
        return self._nodes[address]

    async def _first_look(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._look_again())
        except TimeoutError:
            raise StoreUnavailableError("Redis Cluster does not tell its slots in time") from None
        if not self._slots:
            raise StoreUnavailableError("Redis Cluster does not answer")

    def _look_again(self) -> asyncio.Task[None]:
        """Ask the cluster for its slots in the background, once at a time."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._look())
        return self._refreshing

    async def _look(self) -> None:
        if self._cluster is None:
            self._cluster = self._make()
            self._options = self._cluster.connection_kwargs
        try:
            await self._cluster.nodes_manager.initialize()
        except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException, OSError, TimeoutError) as error:
            log.warning("redis cluster does not tell its slots", error=type(error).__name__)
            # The next look begins at the nodes of the connection string: all others may have moved.
            await self._forget_cluster()
            return
        slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for slot, nodes in self._cluster.nodes_manager.slots_cache.items():
            slots[slot] = (nodes[0].host, int(nodes[0].port))
        self._slots = slots
        for address in set(self._nodes) - {entry for entry in slots if entry is not None}:
            await self._nodes.pop(address).close()

    async def close(self) -> None:
        """End every connection, and forget what is known of the cluster."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        for channels in self._nodes.values():
            await channels.close()
        await self._forget_cluster()
        self._slots, self._nodes, self._refreshing = [], {}, None

    async def _forget_cluster(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            # RedisCluster.aclose does this only after RedisCluster.initialize, which asks for every command as well.
            await cluster.nodes_manager.aclose()
            await cluster.nodes_manager.aclose("startup_nodes")
