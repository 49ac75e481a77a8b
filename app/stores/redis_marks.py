"""Marks of writes in Redis: a hash per project, changed by marks.lua, which does not let the newest event move back.

The name of the hash is no entity key: those begin with the number of their join keys, which is below 2^24. It ends with
the project as all keys of a project do, so that permissions that are given by that ending cover it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis
import structlog

from app.stores.marks import Mark

log = structlog.get_logger(__name__)

KEEP_MARK = (Path(__file__).parent / "marks.lua").read_text(encoding="utf-8")
"""Defines the function keep_mark, for scripts that begin with it."""
_SCRIPT = f"{KEEP_MARK}\nkeep_mark(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])\n"
_SCRIPT_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_PAUSE = 10.0
"""Seconds that nobody is held up again after a mark could not be kept."""


def marks_key(project: str) -> bytes:
    """The hash of a project's marks."""
    return f"freshet:marks:{project}".encode()


def read_marks(client: Any, project: str, views: Sequence[str]) -> list[Mark | None]:
    """The marks of these views, by their stored names, in order. Raises redis-py's errors."""
    found = client.hmget(marks_key(project), list(views)) if views else []
    return [None if entry is None else _parse(entry) for entry in found]


def _parse(entry: bytes) -> Mark | None:
    try:
        newest, last_write, rows = map(int, entry.split(b" "))
    except ValueError:  # not ours
        return None
    return Mark(newest, last_write, rows)


class MarksApart:
    """Marks on a Cluster, where they are in another slot than the rows, and so on a node that may hang on its own.

    The rows have been written by then: a mark that cannot be kept fails nobody. It is owed, and kept with the next one.
    """

    def __init__(self) -> None:
        self._owed: dict[tuple[str, str], Mark] = {}
        self._lock = threading.Lock()
        self._silent_until = 0.0

    def keep(self, connect: Callable[[], Any], project: str, view: str, mark: Mark) -> None:
        """Merge this mark of a view, by its stored name, into the one that the Cluster has."""
        with self._lock:
            owed = self._owed.pop((project, view), None)
        mark = mark if owed is None else owed.merged(mark)
        if time.monotonic() < self._silent_until:
            self._owe(project, view, mark)
            return
        arguments = (marks_key(project), view, mark.newest, mark.last_write, mark.rows)
        try:
            client = connect()
            try:
                client.evalsha(_SCRIPT_SHA, 1, *arguments)
            except redis.exceptions.NoScriptError:
                client.eval(_SCRIPT, 1, *arguments)
        except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
            self._silent_until = time.monotonic() + _PAUSE
            self._owe(project, view, mark)
            log.warning("the mark of a write could not be kept", feature_view=view, error=type(error).__name__)

    def _owe(self, project: str, view: str, mark: Mark) -> None:
        with self._lock:
            owed = self._owed.get((project, view))
            self._owed[project, view] = mark if owed is None else owed.merged(mark)
