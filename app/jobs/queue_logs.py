"""What DBOS logs, as short lines of ours: no traceback, no address of a server, and not the same line all the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_SECONDS_BETWEEN_REPEATS = 60.0


class _Quiet(logging.Filter):
    """Cuts a line before its first colon, where somebody else's words begin, and drops repetitions for a minute."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._elapsed = elapsed
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record, which is changed."""
        line = record.getMessage().partition(":")[0].partition("\n")[0]
        now = self._elapsed()
        if now - self._said.get(line, -_SECONDS_BETWEEN_REPEATS) < _SECONDS_BETWEEN_REPEATS:
            return False
        self._said[line] = now
        record.msg, record.args = line, ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def quieten() -> None:
    """Send what DBOS logs to the root logger, cut short. Before DBOS is made, which would print to the console."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.addFilter(_Quiet())
