"""Signals of a server: on SIGTERM it turns away traffic before it stops."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

import structlog

from app.api.state import AppState

log = structlog.get_logger(__name__)


def drain_on_signals(state: AppState, delay: float) -> Callable[[], object]:
    """On SIGTERM turn /readyz to 503 first, and let uvicorn stop only after `delay` seconds; on Ctrl-C at once. Either
    way those who follow an export are told to go: uvicorn would wait for them."""
    loop = asyncio.get_running_loop()
    terminate, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    if not callable(terminate) or not callable(interrupt):
        return lambda: None

    def drain(number: int, frame: FrameType | None) -> None:
        if state.draining.active:
            return
        state.draining.active = True
        log.info("stopping", seconds=delay)
        loop.call_soon_threadsafe(loop.call_later, delay, terminate, number, frame)

    def stop(number: int, frame: FrameType | None) -> None:
        state.draining.active = True
        interrupt(number, frame)

    def restore() -> None:
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGINT, interrupt)

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, stop)
    return restore
