"""The worker beside a server: a process below ours that is started again when it dies, and ends when we do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import structlog

log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_SECONDS_OF_HEALTH = 60.0
"""Who has run for so long is not one that dies at its start: the next pause is short again."""
_SECONDS_TO_STOP = 12.0


@contextlib.contextmanager
def supervised_worker(wanted: bool = True) -> Iterator[None]:
    """Inside, one `freshet worker` runs, unless it is not wanted; it sees the environment of this process."""
    if not wanted:
        yield
        return
    supervisor = _Supervisor()
    supervisor.start()
    try:
        yield
    finally:
        supervisor.stop()


class _Supervisor:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="worker supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None:
            _close(process)
            try:
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                log.warning("the worker does not stop, and is killed", pid=process.pid)
                process.kill()
        self._thread.join()

    def _supervise(self) -> None:
        pause = _FIRST_PAUSE
        while (process := self._spawn()) is not None:
            began = time.monotonic()
            status = process.wait()
            _close(process)
            if time.monotonic() - began >= _SECONDS_OF_HEALTH:
                pause = _FIRST_PAUSE
            if self._stopping.is_set():
                return
            log.warning("the worker has ended, and is started again", status=status, seconds=pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            # -P: not a package `app` that lies where we were started. Its standard input closes when we end, and it is
            # told to stop by nothing else: a Ctrl-C at the terminal is for us.
            command = [sys.executable, "-P", "-m", "app.cli", "worker", "--supervised"]
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.PIPE, start_new_session=True
            )
            return self._process


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
