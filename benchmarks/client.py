"""An HTTP client that is cheap enough to make load: keep-alive connections on uvloop, answers parsed by httptools.

It checks answers before anything is timed, keeps the rate in the soak, counts requests for the cost table, and stands
in for wrk where there is none. The published throughput figures come from wrk.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from array import array
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httptools
import uvloop

from benchmarks.contestants import Request
from tests.servers.ports import HOST

_ANSWER_SECONDS = 120.0
_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run it to its end on an event loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def encode(request: Request) -> bytes:
    """The request as it goes over the wire."""
    head = f"{request.method} {request.path} HTTP/1.1\r\nHost: {HOST}\r\n"
    if request.body:
        head += f"Content-Type: {request.content_type}\r\nContent-Length: {len(request.body)}\r\n"
    return head.encode() + b"\r\n" + request.body


@dataclass(frozen=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection, for one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser: Any = None
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    async def ask(self, raw: bytes) -> Answer:
        """Send an encoded request and wait for its answer. Raises ConnectionError when the server hangs up."""
        self._body = []
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._waiting

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(status, b"".join(self._body)))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionError("the server closed the connection"))


@contextlib.asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Connections to 127.0.0.1, closed at the end."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, HOST, port))[1] for _ in range(count)]
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


@dataclass
class Outcome:
    """Latencies in seconds, one per answer; failures are answers other than 2xx and connections that were lost."""

    latencies: array[float] = field(default_factory=lambda: array("f"))
    failures: int = 0
    seconds: float = 0.0

    def count(self, latency: float, status: int) -> None:
        self.latencies.append(latency)
        if not 200 <= status < 300:
            self.failures += 1


async def ask_all(port: int, raw: Sequence[bytes], count: int) -> list[Answer]:
    """Every request once, over `count` connections at a time; the answers in the order of the requests."""
    answers: dict[int, Answer] = {}
    turns = iter(enumerate(raw))

    async def work(connection: Connection) -> None:
        for index, one in turns:
            answers[index] = await asyncio.wait_for(connection.ask(one), _ANSWER_SECONDS)

    async with connections(port, count) as opened:
        await asyncio.gather(*(work(connection) for connection in opened))
    return [answers[index] for index in range(len(raw))]


async def closed_loop(port: int, raw: Iterable[bytes], count: int, seconds: float, at_least: int = 0) -> Outcome:
    """The requests in turn, or as an endless iterator gives them, over `count` connections, each sending when it has
    its answer, for so many seconds.

    A last request may begin just before the end, and its answer is waited for. With `at_least`, until there are that
    many answers as well.
    """
    outcome = Outcome()
    # A cycle would keep all that an iterator gives.
    turns = raw if isinstance(raw, Iterator) else itertools.cycle(raw)
    began = time.perf_counter()

    async def work(connection: Connection) -> None:
        while time.perf_counter() - began < seconds or len(outcome.latencies) < at_least:
            sent = time.perf_counter()
            answer = await asyncio.wait_for(connection.ask(next(turns)), _ANSWER_SECONDS)
            outcome.count(time.perf_counter() - sent, answer.status)

    async with connections(port, count) as opened:
        await asyncio.gather(*(work(connection) for connection in opened))
    outcome.seconds = time.perf_counter() - began
    return outcome


async def open_loop(port: int, raw: Sequence[bytes], count: int, seconds: float, rate: float, outcome: Outcome) -> None:
    """`rate` requests per second over `count` connections, whether the server keeps up or not.

    Each request has a time when it is due; its latency counts from then, so that a stall shows in all that it delays.
    `outcome` fills while this runs.
    """
    turns = itertools.cycle(raw)
    began = time.perf_counter()
    due_times = itertools.takewhile(lambda due: due < began + seconds, (began + n / rate for n in itertools.count()))

    async def work(connection: Connection) -> None:
        for due in due_times:
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            answer = await connection.ask(next(turns))
            outcome.count(time.perf_counter() - due, answer.status)

    async with connections(port, count) as opened:
        await asyncio.gather(*(work(connection) for connection in opened))
    outcome.seconds = time.perf_counter() - began


def percentile(latencies: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; NaN where there are none."""
    if not latencies:
        return float("nan")
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
