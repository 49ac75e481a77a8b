"""What is written between two turns of the event loop becomes one write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.api.one_write import JoinedWrites


class Wire(asyncio.Transport):
    """Remembers what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Any] = []

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append("closed")

    def abort(self) -> None:
        self.done.append("aborted")


def wire_after(act: Callable[[JoinedWrites], Awaitable[None]]) -> list[Any]:
    async def run() -> list[Any]:
        wire = Wire()
        await act(JoinedWrites(wire))
        return wire.done

    return asyncio.run(run())


def test_head_and_body_are_one_write() -> None:
    async def act(joined: JoinedWrites) -> None:
        joined.write(b"head ")
        joined.write(bytearray(b"body"))
        await asyncio.sleep(0)

    assert wire_after(act) == [b"head body"]


def test_later_writes_are_not_kept_waiting() -> None:
    async def act(joined: JoinedWrites) -> None:
        for part in (b"one", b"two"):
            joined.write(part)
            await asyncio.sleep(0)

    assert wire_after(act) == [b"one", b"two"]


def test_everything_is_written_before_the_end() -> None:
    async def act(joined: JoinedWrites) -> None:
        joined.write(b"head ")
        joined.write(b"body")
        joined.close()
        await asyncio.sleep(0)

    assert wire_after(act) == [b"head body", "closed"]


def test_nothing_is_written_after_an_abort() -> None:
    async def act(joined: JoinedWrites) -> None:
        joined.write(b"head")
        joined.abort()
        await asyncio.sleep(0)

    assert wire_after(act) == ["aborted"]
