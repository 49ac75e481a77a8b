"""HTTP as clients speak it, through uvicorn with our protocol, over a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from app.api.one_write import OneWriteProtocol

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PART = b"x" * 200_000


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was sent; on /parts with much, in parts; on /broken with half of what it promised."""
    body = (await receive())["body"]
    parts = {"/parts": [PART] * 5, "/broken": [b"half"]}.get(scope["path"], [body])
    length = sum(map(len, parts)) + (scope["path"] == "/broken")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]})
    if scope["path"] == "/broken":
        raise RuntimeError
    for number, part in enumerate(parts, start=1):
        await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})


def talk(talking: Talk) -> None:
    """Run a conversation with a server of its own."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = uvicorn.Server(
                uvicorn.Config(application, http=OneWriteProtocol, lifespan="off", ws="none", log_config=None)
            )
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await asyncio.wait_for(talking(reader, writer), 30)
            writer.close()
            server.should_exit = True
            await serving

    asyncio.run(run())


async def answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> tuple[bytes, bytes]:
    """Status line and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head.split(b"\r\n")[0], b"" if head_only else await reader.readexactly(length)


def request(path: str, body: bytes = b"", method: str = "POST", *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


def test_pipelined_requests_are_answered_in_order() -> None:
    async def talking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(request("/", b"body %d" % number) for number in range(50)))
        for number in range(50):
            assert await answer(reader) == (b"HTTP/1.1 200 OK", b"body %d" % number)

    talk(talking)


def test_a_head_without_body_is_sent() -> None:
    async def talking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request("/parts", method="HEAD"))
        assert await answer(reader, head_only=True) == (b"HTTP/1.1 200 OK", b"")
        writer.write(request("/", b"again"))
        assert await answer(reader) == (b"HTTP/1.1 200 OK", b"again")

    talk(talking)


def test_a_big_answer_in_parts() -> None:
    async def talking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request("/parts"))
        assert await answer(reader) == (b"HTTP/1.1 200 OK", PART * 5)

    talk(talking)


def test_a_client_that_waits_for_100_continue() -> None:
    async def talking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = request("/", b"body", "POST", "Expect: 100-continue")
        head, _, body = whole.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert await answer(reader) == (b"HTTP/1.1 200 OK", b"body")

    talk(talking)


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (request("/", b"body", "POST", "Connection: close"), b"HTTP/1.1 200 OK", b"body"),
        (b"no HTTP\r\n\r\n", b"HTTP/1.1 400 Bad Request", b"Invalid HTTP request received."),
        (request("/broken"), b"HTTP/1.1 200 OK", b""),
    ],
)
def test_all_of_an_answer_is_sent_before_the_connection_closes(sent: bytes, status: bytes, body: bytes) -> None:
    async def talking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        whole = await reader.read()
        assert whole.startswith(status)
        assert whole.endswith(b"\r\n\r\n" + body)

    talk(talking)
