"""The free list of connections, against a server that does what it is told and against a real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
import redis.asyncio
from redis.asyncio.connection import Connection

from app.errors import StoreUnavailableError
from app.stores.redis_channels import Channels
from tests.servers import RedisServer

T = TypeVar("T")
PING, PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Script:
    """A server that answers the PINGs of its n-th connection as the n-th entry says; the last one for all after it."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.connections = 0
        self.asked = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self._answers[min(self.connections, len(self._answers) - 1)]
        self.connections += 1
        while data := await reader.read(65536):
            # redis-py introduces itself before it hands the connection over.
            for _ in range(data.count(b"CLIENT")):
                writer.write(b"+OK\r\n")
            if PING in data:
                self.asked.set()
                if answer is None:
                    break
                writer.write(answer * data.count(PING))
        writer.close()


@asynccontextmanager
async def serving(script: Script, limit: int = 4, waiting: int = 4) -> AsyncIterator[Channels]:
    server = await asyncio.start_server(script, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    channels = Channels(lambda: Connection(host=host, port=port), limit, waiting)
    try:
        yield channels
    finally:
        await channels.close()
        server.close()


async def ping(channels: Channels, seconds: float = 5.0, times: int = 1) -> list[bytes]:
    return await channels.exchange(PING * times, times, asyncio.get_running_loop().time() + seconds)


def test_a_connection_is_kept_and_used_again() -> None:
    async def run() -> None:
        script = Script(PONG)
        async with serving(script) as channels:
            assert await ping(channels, times=3) == [b"PONG"] * 3
            assert await ping(channels) == [b"PONG"]
            assert script.connections == 1

    asyncio.run(run())


def test_a_dead_connection_is_replaced_once() -> None:
    async def run(script: Script) -> int:
        async with serving(script) as channels:
            assert await ping(channels) == [b"PONG"]
        return script.connections

    assert asyncio.run(run(Script(None, PONG))) == 2
    dead = Script(None)
    with pytest.raises(StoreUnavailableError, match="ended the connection"):
        asyncio.run(run(dead))
    assert dead.connections == 2


def test_a_server_that_says_nothing_costs_the_deadline_and_its_connection() -> None:
    async def run() -> None:
        script = Script(b"", PONG)
        async with serving(script) as channels:
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError, match="in time"):
                await ping(channels, seconds=0.1)
            assert time.monotonic() - began < 2
            # A late reply must not be taken for that of the next read: it has a connection of its own.
            assert await ping(channels) == [b"PONG"]
            assert script.connections == 2

    asyncio.run(run())


def test_each_read_ends_at_its_own_deadline() -> None:
    async def run() -> None:
        async with serving(Script(b"")) as channels:
            ended: list[str] = []

            async def read(name: str, seconds: float) -> None:
                with pytest.raises(StoreUnavailableError, match="in time"):
                    await ping(channels, seconds)
                ended.append(name)

            begin = time.monotonic()
            await asyncio.gather(read("last", 1.5), read("first", 0.2), read("second", 0.7))
            assert ended == ["first", "second", "last"]
            assert time.monotonic() - begin >= 1.5

    asyncio.run(run())


def test_a_cancelled_read_takes_its_connection_along() -> None:
    async def run() -> None:
        script = Script(b"", PONG)
        async with serving(script, limit=1) as channels:
            reading = asyncio.create_task(ping(channels))
            await script.asked.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await ping(channels) == [b"PONG"]

    asyncio.run(run())


def test_too_many_replies_end_the_connection() -> None:
    async def run() -> None:
        async with serving(Script(PONG * 2)) as channels:
            with pytest.raises(StoreUnavailableError):
                await ping(channels)

    asyncio.run(run())


def test_readers_beyond_the_connections_wait_their_turn_and_their_number_is_bounded() -> None:
    async def run() -> None:
        script = Script(PONG)
        async with serving(script, limit=2, waiting=3) as channels:
            results = await asyncio.gather(*(ping(channels) for _ in range(8)), return_exceptions=True)
            refused = [result for result in results if isinstance(result, StoreUnavailableError)]
            assert len(refused) == 3
            assert "Too many reads" in refused[0].detail
            assert [result for result in results if result not in refused] == [[b"PONG"]] * 5
            assert script.connections == 2

    asyncio.run(run())


def test_waiting_for_a_connection_ends_at_the_deadline_and_leaves_no_trace() -> None:
    async def run() -> None:
        script = Script(b"", PONG)
        async with serving(script, limit=1, waiting=1) as channels:
            # Long enough for a busy machine to connect within it.
            results = await asyncio.gather(*(ping(channels, 1.0) for _ in range(2)), return_exceptions=True)
            assert [type(result) for result in results] == [StoreUnavailableError] * 2
            for _ in range(3):
                assert await ping(channels) == [b"PONG"]

    asyncio.run(run())


def test_closing_ends_what_is_under_way_and_opens_nothing_more() -> None:
    async def run() -> None:
        script = Script(b"", PONG)
        async with serving(script) as channels:
            reading = asyncio.create_task(ping(channels))
            await script.asked.wait()
            await channels.close()
            with pytest.raises(StoreUnavailableError):
                await reading
            assert script.connections == 1

    asyncio.run(run())


def test_a_server_that_cannot_be_reached_is_told_without_its_address() -> None:
    async def run() -> None:
        script = Script(PONG)
        async with serving(script) as channels:
            pass
        with pytest.raises(StoreUnavailableError) as error:
            await ping(channels)
        assert "127.0.0.1" not in error.value.detail

    asyncio.run(run())


def test_a_restarted_redis_is_found_again() -> None:
    with RedisServer(password="p:%/ w") as server:

        async def run() -> None:
            client = redis.asyncio.Redis(host=server.host, port=server.port, password=server.password)
            channels = Channels(client.connection_pool.make_connection, 4, 4)
            await asyncio.gather(*(ping(channels) for _ in range(4)))
            server.kill()
            with pytest.raises(StoreUnavailableError):
                await ping(channels)
            server.restart()
            assert await ping(channels) == [b"PONG"]
            await channels.close()
            await client.aclose()

        asyncio.run(run())
