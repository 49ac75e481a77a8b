"""Blocking work of background tasks, in a thread that is waited for when the task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PATIENCE = 5.0


async def finish_in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread; when cancelled, let it end first, if it does within some seconds.

    A thread cannot be stopped: one that outlives its task would use stores that the shutdown has closed by then.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running], timeout=_PATIENCE)
        raise
