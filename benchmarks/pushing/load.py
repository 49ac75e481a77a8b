"""Load of pushes whose event timestamps rise, from wrk or from Python."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import load
from benchmarks.pushing.templates import read_templates, rising

_LUA = Path(__file__).with_name("push.lua")
_AGE = 60_000_000
"""The first event is so many microseconds old: none is ahead of the server's clock, and each load begins after the last
event of the one before."""


def moment() -> int:
    """Where a load begins that begins now, in microseconds since 1970."""
    return time.time_ns() // 1000 - _AGE


def apply(
    generator: load.Generator, port: int, templates: Path, seconds: int, connections: int, start: int
) -> load.Load:
    """Load the server for that long with the requests of the file, in turn, from the moment `start` on."""
    if generator == "wrk":
        return load.wrk(port, seconds, connections, _LUA, templates, str(start))
    return load.python(port, rising(read_templates(templates), start), seconds, connections)
