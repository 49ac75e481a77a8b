"""A server process of the benchmark: started on a free port, measured, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.servers.errors import ServerError
from tests.servers.ports import HOST
from tests.servers.process import GuardedProcess

_START_SECONDS = 120.0
_SETTLE_SECONDS = 20.0
_SETTLE_LOOK = 0.2


@dataclass(frozen=True)
class Usage:
    """What a process tree holds: resident memory in bytes, open file descriptors."""

    resident: int
    descriptors: int


class Server:
    """A running server at http://127.0.0.1:<port>."""

    def __init__(self, name: str, port: int, process: GuardedProcess) -> None:
        self.name = name
        self.port = port
        self.process = process

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its descendants since they started."""
        return cpu_seconds(self.process.family())

    def settle(self) -> None:
        """Wait until it is idle: it still works on what a generator no longer waited for, at the next one's cost."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(_SETTLE_LOOK)
            if self.cpu_seconds() - before <= _SETTLE_LOOK / 10:
                return

    def usage(self) -> Usage:
        """Summed over the process and all its descendants."""
        family = self.process.family()
        return Usage(sum(one.memory_info().rss for one in family), sum(one.num_fds() for one in family))

    def wait_for(self, path: str) -> None:
        """Until a GET of `path` answers 200. Raises ServerError when it never does."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers(path):
            status = self.process.wait(0.05)
            if status is not None or time.monotonic() > deadline:
                how = "did not answer in time" if status is None else f"ended with status {status}"
                raise ServerError(f"{self.name} {how}. Its log ends:\n{self.process.tail()}")

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310 - always http
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            # 4xx from a server without such a page is a sign of life, but not that it is ready.
            return False
        except OSError:
            return False


def cpu_seconds(family: Sequence[psutil.Process]) -> float:
    """User and system time of these processes since they started; ended ones count nothing."""
    total = 0.0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def environment(folder: Path, extra: dict[str, str] | None = None) -> dict[str, str]:
    """A whole environment: a developer's own settings count for nothing, and temporary files go into `folder`."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    base = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}
    return {**base, "HOME": str(temporary), "TMPDIR": str(temporary), **(extra or {})}


@contextlib.contextmanager
def running(
    name: str, argv: Sequence[str | Path], port: int, *, folder: Path, directory: Path, extra: dict[str, str]
) -> Iterator[Server]:
    """The server inside the with block; not yet ready at its start, gone at its end."""
    process = GuardedProcess(
        argv, log=folder / f"{name}.log", environment=environment(folder / name, extra), directory=directory
    )
    try:
        yield Server(name, port, process)
    finally:
        # Nothing of it is kept, so it need not drain first.
        process.kill()
