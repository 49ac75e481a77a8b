"""Connections to one Redis server for reads: a free list, whose number and whose waiters are bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis
from redis.asyncio.connection import AbstractConnection

from app.errors import StoreUnavailableError
from app.stores.redis_channel import Channel, ChannelLostError, Deadlines
from app.stores.redis_errors import describe


class Channels:
    """A free list of channels to one server, or to the master that Sentinel names.

    At most `limit` are open, and at most `waiting` readers wait for one. Belongs to one event loop until it is closed.
    """

    def __init__(
        self,
        make: Callable[[], AbstractConnection],
        limit: int,
        waiting: int,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._make = make
        self._on_close = on_close
        self._limit = limit
        self._waiting = waiting
        self._idle: list[Channel] = []
        self._waiters: deque[asyncio.Future[Channel | None]] = deque()
        self._open: set[Channel] = set()
        self._opening = 0
        self._closed = False
        self._deadlines = Deadlines(self._open)

    def read(self, keys: Sequence[bytes], commands: Sequence[bytes], deadline: float) -> Awaitable[list[Any]]:
        """See app.stores.redis_reads.Commands."""
        return self.exchange(b"".join(commands), len(commands), deadline)

    async def exchange(self, payload: bytes, expected: int, deadline: float) -> list[Any]:
        """The replies to `payload`, which holds `expected` commands that only read.

        Checkout, connect and read share the deadline (on the loop's clock). A connection that turns out to be dead is
        replaced once, within it. Raises StoreUnavailableError.
        """
        retried = False
        while True:
            channel = None
            try:
                channel = self._idle.pop() if self._idle else await self._checkout(deadline)
                replies = await channel.send(payload, expected, deadline)
            except ChannelLostError:
                if retried:
                    raise StoreUnavailableError("Redis ended the connection") from None
                retried = True
            except (TimeoutError, redis.exceptions.TimeoutError):
                raise StoreUnavailableError("Redis did not answer in time (FRESHET_ONLINE_TIMEOUT)") from None
            except (redis.exceptions.RedisError, OSError) as error:
                raise StoreUnavailableError(describe(error)) from error
            else:
                self._release(channel)
                channel = None
                return replies
            finally:
                if channel is not None:
                    # Replies may still be on their way.
                    channel.close()

    async def _checkout(self, deadline: float) -> Channel:
        while len(self._open) + self._opening >= self._limit and not self._closed:
            if len(self._waiters) >= self._waiting:
                raise StoreUnavailableError("Too many reads wait for a connection to Redis")
            channel = await self._wait(deadline)
            if channel is not None:
                return channel
        if self._closed:
            raise StoreUnavailableError("This server no longer reads from that Redis")
        self._opening += 1
        connection = self._make()
        try:
            async with asyncio.timeout_at(deadline):
                await connection.connect()
            channel = Channel(connection, self._deadlines, self._forget)
            self._open.add(channel)
            if self._closed:  # while it was being opened
                channel.close()
                raise ChannelLostError
        except BaseException:
            connection._close()
            self._wake()
            raise
        finally:
            self._opening -= 1
        return channel

    async def _wait(self, deadline: float) -> Channel | None:
        """A channel that somebody has given back, or None where there is room for a new one."""
        waiter: asyncio.Future[Channel | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if waiter.done() and not waiter.cancelled():
                # It was served in the same turn of the loop in which the deadline passed; others can use that.
                given = waiter.result()
                self._wake() if given is None else self._release(given)
            raise

    def _release(self, channel: Channel) -> None:
        if not channel.usable:
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(channel)
                return
        self._idle.append(channel)

    def _forget(self, channel: Channel) -> None:
        self._open.discard(channel)
        if channel in self._idle:
            self._idle.remove(channel)
        channel.usable = False
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def close(self) -> None:
        """End every connection, for good."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        channels = list(self._open)
        for channel in channels:
            channel.close()
        await asyncio.gather(*(channel.gone.wait() for channel in channels))
        self._deadlines.close()
        if self._on_close is not None:
            await self._on_close()
