"""Waiting for a state that nobody announces."""

import time
from collections.abc import Callable

from tests.servers.errors import ServerError


def wait_until(what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Ask again and again until `condition` holds. Raises ServerError, which says `what`, when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(f"waited for: {what}; not within {seconds:g} s")
        time.sleep(0.02)
