"""Many pushes at once over plain connections, and what was said of each: cheap enough to keep a server busy."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from app.domain import to_moment

ANSWER_SECONDS = 120.0
"""A bound against hanging, not an expectation."""
BEGINNING = 1_763_800_000_000_000
"""The first event timestamp, in microseconds since 1970: long ago, so that every row is due at once."""
SENSORS = 100


class Reading(NamedTuple):
    """One row: its number, which no other row has, its sensor, and its event timestamp in microseconds since 1970."""

    number: int
    sensor: int
    event: int


@dataclass(frozen=True)
class Push:
    """One request; a push with a key may be repeated until it is acknowledged."""

    readings: tuple[Reading, ...]
    key: str | None = None
    to: str = "online_and_offline"

    def encoded(self) -> bytes:
        """The request as it goes over the wire."""
        rows = [
            {"sensor_id": row.sensor, "value": row.number, "note": f"n{row.number}", "ts": _text(row.event)}
            for row in self.readings
        ]
        key = f"Idempotency-Key: {self.key}\r\n" if self.key else ""
        return encode("POST", "/v1/push/events", {"rows": rows, "to": self.to}, key)


@dataclass(frozen=True)
class Answer:
    """Status and decoded body; no answer has status 0, no request -1."""

    status: int
    body: Any = None


LOST = Answer(0)
NOT_SENT = Answer(-1)


def pushes(count: int, dice: random.Random, keyed: Callable[[int], bool] = lambda number: True) -> list[Push]:
    """So many pushes of one to three rows of SENSORS sensors, out of order, with many equal event timestamps."""
    made, number = [], 0
    for index in range(count):
        readings = []
        for _ in range(dice.randint(1, 3)):
            readings.append(Reading(number, dice.randrange(SENSORS), BEGINNING + dice.randrange(40) * 500_000))
            number += 1
        made.append(Push(tuple(readings), f"key-{index}" if keyed(index) else None))
    return made


def encode(method: str, path: str, body: object = None, headers: str = "") -> bytes:
    """A request of HTTP/1.1, with a JSON body unless that is None."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


class Connection:
    """One keep-alive connection to a server, for one request at a time."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, raw: bytes) -> Answer:
        """The answer to an encoded request; LOST where the server cannot be reached or hangs up before it."""
        try:
            return await asyncio.wait_for(self._ask(raw), ANSWER_SECONDS)
        except (OSError, asyncio.IncompleteReadError):
            await self.close()
            return LOST

    async def _ask(self, raw: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.hostname, self._address.port, limit=2**20)
        reader, writer = self._streams
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
        assert length is not None, head
        return Answer(int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(int(length[1]))))

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.transport.abort()


async def over(url: str, connections: int, work: Iterable[Callable[[Connection], Awaitable[None]]]) -> None:
    """Do each piece of work over one of so many connections, as soon as one is free."""
    turns = iter(work)

    async def serve() -> None:
        connection = Connection(url)
        try:
            for piece in turns:
                await piece(connection)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(serve())


class Campaign:
    """Pushes, and what was said of each of them last."""

    def __init__(self, made: Sequence[Push]) -> None:
        self.pushes = made
        self.answers = [NOT_SENT] * len(made)
        self._kept = 0
        self._milestones: dict[int, asyncio.Event] = {}

    @property
    def acknowledged(self) -> list[Push]:
        """Those that were answered with 200."""
        return [push for push, answer in self if answer.status == 200]

    def __iter__(self) -> Iterator[tuple[Push, Answer]]:
        return zip(self.pushes, self.answers, strict=True)

    async def send(self, url: str, connections: int = 64, until_kept: bool = False) -> None:
        """Send every push that has no 200 yet; with `until_kept` repeat those with a key until they have."""
        left = [index for index, answer in enumerate(self.answers) if answer.status != 200]
        await over(url, connections, [partial(self._send, index, until_kept) for index in left])

    async def wait_for(self, acknowledged: int) -> None:
        """Until so many are acknowledged."""
        if self._kept < acknowledged:
            await self._milestones.setdefault(acknowledged, asyncio.Event()).wait()

    async def _send(self, index: int, until_kept: bool, connection: Connection) -> None:
        push = self.pushes[index]
        while True:
            answer = self.answers[index] = await connection.ask(push.encoded())
            if answer.status == 200:
                self._kept += 1
                if self._kept in self._milestones:
                    self._milestones[self._kept].set()
                return
            if answer is LOST and not until_kept:
                return
            assert answer is LOST or answer.status in (429, 503), answer
            await asyncio.sleep(0.05)  # as one does who is told to come back
            if not until_kept or push.key is None:
                return


def _text(moment: int) -> str:
    return to_moment(moment).isoformat()
