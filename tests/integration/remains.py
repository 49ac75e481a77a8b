"""What is left of a server, which should be nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.servers import PostgresServer, RedisServer


def alive(process: Any) -> bool:
    """Whether it runs; a zombie doesn't, it waits for an init process that may be slow to collect it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def nothing_left(*servers: PostgresServer | RedisServer) -> Iterator[None]:
    """Afterwards neither a process nor a file of these servers exists."""
    family = [member for server in servers for member in server.process.family()]
    workspaces = [server.workspace for server in servers]
    assert len(family) >= len(servers)
    assert None not in workspaces
    yield
    assert [member for member in family if alive(member)] == []
    assert [workspace for workspace in workspaces if workspace is None or workspace.exists()] == []
