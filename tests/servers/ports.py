"""Ports on 127.0.0.1 for servers that can't be given port 0, or that must come back on the same port."""

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
CLUSTER_BUS = 10000
"""The nodes of a Redis Cluster talk to each other on the port of their clients plus this."""

_LOWEST, _HIGHEST = 15000, 32767
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(*, with_bus: bool = False) -> int:
    """A port that nobody listens on now; whoever starts a server on it tries another one if it has been taken since.

    `with_bus`: the port of its Redis Cluster bus is free, too.

    Ports of the ephemeral range are left out: between a server's stop and its restart the kernel could hand such a port
    to any outgoing connection, and a client that keeps connecting to it may even end up connected to itself.
    """
    highest = min(_HIGHEST, _ephemeral_start() - 1) - (CLUSTER_BUS if with_bus else 0)
    candidates = range(_LOWEST, max(_LOWEST + 1000, highest))
    for port in random.sample(candidates, k=100):
        if _is_free(port) and (not with_bus or _is_free(port + CLUSTER_BUS)):
            return port
    msg = f"100 ports between {candidates.start} and {candidates.stop} were tried and none is free"
    raise OSError(msg)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set it too: connections in TIME_WAIT don't make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # All interfaces: a port that is taken on any of them is of no use to a server that binds 0.0.0.0.
            probe.bind(("0.0.0.0", port))  # noqa: S104
        except OSError:
            return False
        return True


def _ephemeral_start() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _HIGHEST + 1
