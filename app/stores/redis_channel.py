"""One connection to Redis for reads: opened by redis-py, then driven by a protocol of our own.

redis-py opens, secures and authenticates a connection, and asks Sentinel where to. What it does per reply afterwards
costs ten times the reply itself (docs/adr/0010-hot-path.md), so once a connection is ready its transport is handed to a
`Channel`, which feeds bytes to hiredis and wakes the reader when the last reply is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection

_MORE = object()
# The timer of a deadline may fire first when the loop was busy and the replies are already in the socket: it looks
# again after the loop has had time to read them.
_GRACE = 0.002


class ChannelLostError(Exception):
    """The connection ended before all replies had come."""


class Channel(asyncio.Protocol):
    """One connection, used by one reader at a time: commands go out in one write, replies come back in order."""

    def __init__(
        self, connection: AbstractConnection, deadlines: Deadlines, on_lost: Callable[[Channel], None]
    ) -> None:
        self._connection = connection
        self._deadlines = deadlines
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        writer = connection._writer
        assert writer is not None  # noqa: S101 - connect() has returned
        self._transport = writer.transport
        self._previous = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._parser = hiredis.Reader(notEnoughData=_MORE)
        self._waiter: asyncio.Future[list[Any]] | None = None
        self._replies: list[Any] = []
        self._expected = 0
        self._deadline = 0.0
        self._exchanges = 0
        self.usable = True
        self.gone = asyncio.Event()

    def send(self, payload: bytes, expected: int, deadline: float) -> asyncio.Future[list[Any]]:
        """The replies to `payload`, which holds `expected` commands; errors among them are exceptions in the list.

        Raises ChannelLostError, and the future raises that or, at `deadline` (the loop's clock), TimeoutError. After
        any exception, and after a cancellation, the channel must be closed: replies may still be on their way.
        """
        if not self.usable:
            raise ChannelLostError
        self._waiter = waiter = self._loop.create_future()
        self._replies, self._expected = [], expected
        self._exchanges += 1
        self._deadline = deadline
        self._deadlines.add(deadline)
        self._transport.write(payload)
        return waiter

    def due(self) -> tuple[float, int] | None:
        """The deadline and the number of the exchange that is under way, or None."""
        if self._waiter is None or self._waiter.done():
            return None
        return self._deadline, self._exchanges

    def expire(self, exchange: int) -> None:
        """End this exchange if it is still under way."""
        if self._waiter is not None and self._exchanges == exchange and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def data_received(self, data: bytes) -> None:
        """Take what Redis sent; asyncio calls this."""
        waiter, replies, gets = self._waiter, self._replies, self._parser.gets
        try:
            self._parser.feed(data)
            while (reply := gets()) is not _MORE:
                replies.append(reply)
        except hiredis.HiredisError:  # not the protocol of Redis
            self.close()
            return
        if waiter is None or len(replies) > self._expected:
            self.close()
        elif len(replies) == self._expected and not waiter.done():
            # Whatever comes now belongs to no one, and the replies to whoever waits for them alone.
            self._waiter, self._replies = None, []
            waiter.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server, the network or we have ended the connection; asyncio calls this."""
        self.usable = False
        self._previous.connection_lost(exc)
        self._connection._close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ChannelLostError())
        self._on_lost(self)
        self.gone.set()

    def close(self) -> None:
        """End the connection at once, whatever is on its way."""
        self.usable = False
        self._transport.abort()
        self._connection._close()


class Deadlines:
    """One timer for all exchanges of some channels: one of its own costs each exchange more than its reply does.

    Set for the first deadline, it looks at every channel when it fires, of which there are few.
    """

    def __init__(self, channels: Collection[Channel]) -> None:
        self._channels = channels
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: float) -> None:
        """Some exchange ends at `deadline` (the loop's clock) if it is still under way then."""
        if self._timer is None or deadline < self._timer.when():
            self._set(deadline)

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._fire)

    def _fire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, now, coming = None, loop.time(), []
        for channel in self._channels:
            due = channel.due()
            if due is None:
                continue
            deadline, exchange = due
            if deadline > now:
                coming.append(deadline)
            else:
                loop.call_later(_GRACE, channel.expire, exchange)
        if coming:
            self._set(min(coming))

    def close(self) -> None:
        """Forget them all."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
