"""A Redis Cluster for the tests, whose slots a test may move and whose nodes it may freeze, kill and restart."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.servers.binaries import RedisBinary
from tests.servers.errors import ServerError
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.waiting import wait_until

SLOTS = 16384


class ClusterNode(RedisServer):
    """One master. A restart on the same port finds its place and its slots again, and its data with `appendonly`."""

    name = "node"

    @property
    def id(self) -> str:
        """How the other nodes call it."""
        return bytes(self.command("CLUSTER", "MYID")).decode()

    def state(self) -> dict[str, str]:
        """CLUSTER INFO."""
        found: dict[str, str] = self.command("CLUSTER INFO")
        return found

    def slots(self) -> dict[tuple[int, int], int]:
        """Which ranges this node believes to be at which port."""
        return {(first, last): int(master[1]) for first, last, master, *_ in self.command("CLUSTER SLOTS")}

    def _free_port(self) -> int:
        return free_port(with_bus=True)

    def _arguments(self, workspace: Path) -> list[str | Path]:
        return [*super()._arguments(workspace), "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]


class RedisCluster:
    """Masters that share the slots equally, without replicas: `with RedisCluster() as cluster: ...`.

    The nodes' timeout is Redis' own, 15 s: one that is frozen or dead for less is missed by its keys alone.
    """

    def __init__(
        self,
        binary: RedisBinary | None = None,
        *,
        masters: int = 3,
        password: str | None = None,
        appendonly: bool = False,
    ) -> None:
        self.password = password
        self.nodes = [ClusterNode(binary, password=password, appendonly=appendonly) for _ in range(masters)]
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for node in self.nodes:
                starting.enter_context(node)
            self._form()
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def description(self) -> str:
        return f"Cluster of {len(self.nodes)} x {self.nodes[0].description}"

    @property
    def connection_string(self) -> str:
        """Feast's form: every node, then the options."""
        options = [f"password={self.password}"] if self.password else []
        return ",".join([*(f"{node.host}:{node.port}" for node in self.nodes), *options])

    @property
    def online_store(self) -> dict[str, object]:
        """What feature_store.yaml says about it under `online_store`."""
        return {"type": "redis", "redis_type": "redis_cluster", "connection_string": self.connection_string}

    @contextmanager
    def client(self, timeout: float = 5.0) -> Iterator[Any]:
        """A client of the whole cluster, closed at the end."""
        node_class: Any = redis.cluster.ClusterNode
        startup = [node_class(node.host, node.port) for node in self.nodes]
        with redis.cluster.RedisCluster(
            startup_nodes=startup,
            password=self.password,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1),
        ) as client:
            yield client

    def flush(self) -> None:
        """Delete every key."""
        for node in self.nodes:
            node.flush()

    def owner(self, key: bytes) -> ClusterNode:
        """The node that answers for the key, as the first running node has it."""
        return self.owner_of_slot(key_slot(key))

    def owner_of_slot(self, slot: int) -> ClusterNode:
        """The node that answers for the slot, as the first running node has it."""
        asked = next(node for node in self.nodes if node.running)
        port = next(port for (first, last), port in asked.slots().items() if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def move(self, slot: int, target: ClusterNode) -> "SlotMove":
        """The way of a slot to another node, in steps that the test takes when it likes. Nothing is done yet."""
        return SlotMove(self, slot, self.owner_of_slot(slot), target)

    def wait_until_whole(self) -> None:
        """Until every node takes every slot for served, at the same places."""
        wait_until("every node to find the cluster whole", self._whole)

    def _form(self) -> None:
        bounds = [SLOTS * number // len(self.nodes) for number in range(len(self.nodes) + 1)]
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
            # Different from the start, or the nodes would first have to find out that they collide.
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self.nodes[0].command("CLUSTER", "MEET", node.host, node.port)
        self.wait_until_whole()

    def _whole(self) -> bool:
        states = [node.state() for node in self.nodes]
        return (
            all(state["cluster_state"] == "ok" and state["cluster_slots_ok"] == str(SLOTS) for state in states)
            and all(state["cluster_known_nodes"] == str(len(self.nodes)) for state in states)
            and len({frozenset(node.slots().items()) for node in self.nodes}) == 1
        )


@dataclass(frozen=True)
class SlotMove:
    """A slot on its way, as `redis-cli --cluster reshard` moves one: begin, carry, finish."""

    cluster: RedisCluster
    slot: int
    source: ClusterNode
    target: ClusterNode

    def begin(self) -> None:
        """From now on the source answers ASK for keys that it does not have (any more)."""
        if self.source is self.target:
            raise ServerError(f"slot {self.slot} is there already")
        self.target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.source.id)
        self.source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.target.id)

    def keys(self) -> list[bytes]:
        """What of the slot is still at the source."""
        found: list[bytes] = self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, 10_000)
        return found

    def carry(self, *keys: bytes) -> None:
        """Move these keys, or else all that are left."""
        chosen = keys or tuple(self.keys())
        if chosen:
            auth = ["AUTH", self.cluster.password] if self.cluster.password else []
            self.source.command(
                "MIGRATE", self.target.host, self.target.port, "", 0, 5000, "REPLACE", *auth, "KEYS", *chosen
            )

    def finish(self) -> None:
        """From now on everybody but the target answers MOVED."""
        others = [node for node in self.cluster.nodes if node not in (self.target, self.source)]
        for node in (self.target, self.source, *others):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self.target.id)
