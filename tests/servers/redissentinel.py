"""A Redis master with a replica under a Sentinel, which a test may make fail over."""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.servers.binaries import RedisBinary
from tests.servers.errors import ServerError
from tests.servers.redis import RedisServer
from tests.servers.waiting import wait_until

MASTER_NAME = "freshet"
# The defaults are 10 s, 2 s and 1 s, which Redis 6.2 keeps. A replica is good enough for a failover when it has
# answered within three to five of them: shorter ones let failovers miss their moment on a busy machine.
_PERIODS: list[str | int] = ["INFO-PERIOD", 500, "PUBLISH-PERIOD", 200, "PING-PERIOD", 500]


class SentinelServer(RedisServer):
    """One Sentinel; it rewrites its own configuration, so that a restart knows what it knew."""

    name = "sentinel"

    def watch(self, master: RedisServer, quorum: int = 1) -> None:
        """Begin to watch a master; it counts as down when it has not answered for a second."""
        with self.client() as client:
            newer = int(self.about(client)["redis_version"].split(".")[0]) >= 7
        if newer:
            self.command("SENTINEL", "DEBUG", *_PERIODS)
        self.command("SENTINEL", "MONITOR", MASTER_NAME, master.host, master.port, quorum)
        # A failover that finds no good replica at its moment is tried again after twice the second one.
        options = {"down-after-milliseconds": "1000", "failover-timeout": "3000"}
        if master.password:
            options["auth-pass"] = master.password
        for option, value in options.items():
            self.command("SENTINEL", "SET", MASTER_NAME, option, value)

    def known_master(self) -> int:
        """The port of the master, as it tells clients."""
        _, port = self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return int(port)

    def known_replicas(self) -> list[dict[str, Any]]:
        """What it knows about the replicas of the master."""
        found: list[dict[str, Any]] = self.command("SENTINEL SLAVES", MASTER_NAME)
        return found

    def _arguments(self, workspace: Path) -> list[str | Path]:
        return [workspace / "sentinel.conf", "--sentinel", *super()._arguments(workspace)]

    def _prepare(self, workspace: Path) -> None:
        super()._prepare(workspace)
        configuration = workspace / "sentinel.conf"
        configuration.touch(mode=0o600)
        if self.account:
            os.chown(configuration, self.account.uid, self.account.gid)


class RedisSentinel:
    """A master, a replica and one Sentinel with a quorum of one: `with RedisSentinel() as servers: ...`.

    `password` is the servers'; the Sentinel has one of its own, or none, as in production.
    """

    def __init__(
        self, binary: RedisBinary | None = None, *, password: str | None = None, sentinel_password: str | None = None
    ) -> None:
        replication = ["--repl-diskless-sync-delay", "0"]
        if password:
            replication += ["--masterauth", password]
        self.password = password
        self.servers = [RedisServer(binary, password=password, options=replication) for _ in range(2)]
        self.sentinel = SentinelServer(binary, password=sentinel_password)
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for server in (*self.servers, self.sentinel):
                starting.enter_context(server)
            first, second = self.servers
            second.command("REPLICAOF", first.host, first.port)
            self.sentinel.watch(first)
            self.wait_until_settled()
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def description(self) -> str:
        return f"Sentinel of 2 x {self.servers[0].description}"

    @property
    def connection_string(self) -> str:
        """Feast's form: the Sentinels, then the options of the master's connections."""
        options = [f"password={self.password}"] if self.password else []
        if self.sentinel.password:
            options.append(f'sentinel_kwargs={{"password":"{self.sentinel.password}"}}')
        return ",".join([f"{self.sentinel.host}:{self.sentinel.port}", *options])

    @property
    def online_store(self) -> dict[str, object]:
        """What feature_store.yaml says about it under `online_store`."""
        return {
            "type": "redis",
            "redis_type": "redis_sentinel",
            "sentinel_master": MASTER_NAME,
            "connection_string": self.connection_string,
        }

    @property
    def master(self) -> RedisServer:
        """The server that Sentinel names to clients."""
        port = self.sentinel.known_master()
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        master = self.master
        return next(server for server in self.servers if server is not master)

    def flush(self) -> None:
        """Delete every key."""
        self.master.flush()

    def failover(self) -> None:
        """Make the replica the master (SENTINEL FAILOVER) and wait for both to be what they have become."""
        before = self.master
        self.sentinel.command("SENTINEL", "FAILOVER", MASTER_NAME)
        self.wait_for_another_master(before)
        self.wait_until_settled()

    def wait_for_another_master(self, before: RedisServer) -> None:
        """Until Sentinel names another server than `before`, takes it for well, and that one takes writes."""

        def replaced() -> bool:
            # It names the new master before the failover is over; SENTINEL MASTERS has the old one for longer.
            known = self.sentinel.command("SENTINEL MASTERS")[MASTER_NAME]
            return (
                self.master is not before
                and (known["port"], known["flags"]) == (self.master.port, "master")
                and role(self.master)[0] == b"master"
            )

        wait_until("another master", replaced)

    def wait_until_settled(self) -> None:
        """Until the replica follows the master, and Sentinel sees it so: another failover could begin."""
        wait_until("the replica to follow the master", self._settled)

    def _settled(self) -> bool:
        master, replica = self.master, self.replica
        try:
            leads, follows = role(master), role(replica)
        except redis.ConnectionError:
            return False
        known = [(entry["port"], entry["flags"]) for entry in self.sentinel.known_replicas()]
        return (
            leads[0] == b"master"
            and follows[:1] == [b"slave"]
            and follows[2:4] == [master.port, b"connected"]
            and known == [(replica.port, "slave")]
        )


def role(server: RedisServer) -> list[Any]:
    """ROLE: b"master" or b"slave" first. Raises ServerError when it is not running."""
    if not server.running:
        raise ServerError(f"{server.name} on port {server.port} is not running")
    found: list[Any] = server.command("ROLE")
    return found
