"""The limit in Python: an ASGI application that relays what Redis answers, byte for byte.

    python -m benchmarks.relay --port 8001 --redis-port 6379 --plans plans.json

What it does for each POST: reads the body, finds the entity ids in it with one regular expression, puts each into a
prepared HMGET (the key and the fields that the features need, `_ts:<view>` included; on another path into an HGETALL),
sends all of them at once over a connection that stays checked out, waits for the end of the replies and answers with
their bytes. It runs under the same uvicorn, uvloop and httptools as Freshet and Feast.

What it leaves out is what a feature server is for: it parses no JSON and no reply, decodes and encodes no value, knows
no type, no ttl, no status and no metric, checks nothing, and has no deadline. So it bounds what any server on this
stack could reach, and nobody could use its answer as it is.

`--wait async` hands the event loop on while Redis works, `--wait block` keeps it: cheaper for one entity, but nothing
else happens meanwhile. The benchmark takes async, as a server must; RESULTS.md says which.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

_HOST = "127.0.0.1"
_END = b"end-of-the-replies-5d41402abc4b2a76"
# Redis answers in order, so this last answer marks the end of the others and nobody has to parse them.
_ECHO = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n" % (len(_END), _END)
_TAIL = b"$%d\r\n%s\r\n" % (len(_END), _END)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Fetch = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True)
class Plan:
    """How to ask for the features of a service: `before` + entity id + `after` is one HMGET on the wire."""

    before: bytes
    after: bytes
    ids: re.Pattern[bytes]

    def commands(self, body: bytes) -> bytes:
        """All HMGETs for the entities in the body of a request, and the ECHO that ends them."""
        ids = self.ids.findall(body)
        return self.before + (self.after + self.before).join(ids) + self.after + _ECHO


def read_plans(path: Path) -> dict[str, Plan]:
    """Path of the request -> plan, from what `benchmarks.contestants` wrote."""
    plans = json.loads(path.read_text(encoding="utf-8"))
    return {
        route: Plan(bytes.fromhex(plan["before"]), bytes.fromhex(plan["after"]), re.compile(plan["ids"].encode()))
        for route, plan in plans.items()
    }


class _Connection(asyncio.Protocol):
    """One connection to Redis, for one request at a time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._waiting: asyncio.Future[bytes] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def fetch(self, commands: bytes) -> asyncio.Future[bytes]:
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(commands)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        parts = self._parts
        if parts:
            parts.append(data)
            # A last piece that is shorter than the tail may be the end of it.
            if len(data) < len(_TAIL):
                data = b"".join(parts)
                parts[:] = [data]
        if not data.endswith(_TAIL):
            if not parts:
                parts.append(data)
            return
        if parts:
            data = b"".join(parts)
            parts.clear()
        if self._waiting is not None:
            self._waiting.set_result(data[: -len(_TAIL)])

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionError("Redis closed the connection"))


def asynchronous(redis_port: int) -> Fetch:
    """Connections on a free list: as many as there are requests at once."""
    free: list[_Connection] = []

    async def fetch(commands: bytes) -> bytes:
        if free:
            connection = free.pop()
        else:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, _HOST, redis_port)
        replies = await connection.fetch(commands)
        free.append(connection)
        return replies

    return fetch


def blocking(redis_port: int) -> Fetch:
    """One connection; the event loop stands still until Redis has answered."""
    connection = socket.create_connection((_HOST, redis_port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def fetch(commands: bytes) -> bytes:
        connection.sendall(commands)
        data = connection.recv(1 << 20)
        while not data.endswith(_TAIL):
            more = connection.recv(1 << 20)
            if not more:
                raise ConnectionError("Redis closed the connection")
            data += more
        return data[: -len(_TAIL)]

    return fetch


def application(plans: dict[str, Plan], fetch: Fetch) -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """The ASGI application."""

    async def relay(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        plan = plans.get(scope["path"])
        replies = await fetch(plan.commands(body)) if plan else b""  # any other page says that we are up
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(replies))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": replies})

    return relay


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="Relays what Redis answers to HMGETs; see benchmarks/relay.py.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--plans", type=Path, required=True)
    parser.add_argument("--wait", choices=["async", "block"], default="async")
    arguments = parser.parse_args()
    fetch = (asynchronous if arguments.wait == "async" else blocking)(arguments.redis_port)
    app: Any = application(read_plans(arguments.plans), fetch)
    gc.freeze()
    uvicorn.run(
        app,
        host=_HOST,
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
    )


if __name__ == "__main__":
    main()
