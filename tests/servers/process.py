"""A process tree that can't outlive the tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.servers.account import Account
from tests.servers.errors import ServerError

_GUARDIAN = Path(__file__).with_name("guardian.py")


class GuardedProcess:
    """One program below a guardian (see guardian.py), which ends it when we are gone, by whatever death."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        directory: Path,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        quit_signal: signal.Signals = signal.SIGKILL,
        remove: Sequence[Path] = (),
    ) -> None:
        self.argv = [str(part) for part in argv]
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._stop_signal = stop_signal
        spec = {
            "argv": self.argv,
            "environment": dict(environment),
            "directory": str(directory),
            "log": str(log),
            "account": {"uid": account.uid, "gid": account.gid} if account else None,
            "quit_signal": int(quit_signal),
            "remove": [str(folder) for folder in remove],
            "parent": os.getpid(),
        }
        # -I: neither this folder (its redis.py!) nor PYTHON* variables. A session of its own: Ctrl-C is for us alone.
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", str(_GUARDIAN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._paused: list[Any] = []
        self._server: Any | None = None
        self.pid = self._handshake(json.dumps(spec).encode() + b"\n")
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended already
            self._server = psutil.Process(self.pid)

    def _handshake(self, spec: bytes) -> int:
        if self._guardian.stdin is None or self._guardian.stdout is None:
            raise ServerError("the guardian has no pipes")
        try:
            self._guardian.stdin.write(spec)
            self._guardian.stdin.flush()
            answer = json.loads(self._guardian.stdout.readline() or '{"error": "the guardian died"}')
        except BaseException:
            self._guardian.kill()
            self._close()
            raise
        if "pid" not in answer:
            self._close()
            raise ServerError(f"{self.argv[0]} could not be started: {answer['error']}")
        return int(answer["pid"])

    @property
    def running(self) -> bool:
        return self._guardian.poll() is None

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status (128 + n after signal n), None if it is still running after `timeout` seconds."""
        try:
            return self._guardian.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def family(self) -> list[Any]:
        """The program and all its descendants, as psutil processes."""
        if self._server is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                return [self._server, *self._server.children(recursive=True)]
        return []

    def send(self, number: signal.Signals) -> None:
        """A signal to the program alone, never to another process that got its pid."""
        if self._server is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._server.send_signal(number)

    def pause(self) -> None:
        """Stop the whole tree without ending it: connections stay open and nobody answers."""
        if self._server is None or not self.running:
            raise ServerError(f"{self.argv[0]} is not running, so it can't be paused")
        # The parent first, so that it starts nobody we don't know of.
        self._server.suspend()
        self._paused.append(self._server)
        for child in self._server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.suspend()
                self._paused.append(child)

    def resume(self) -> None:
        while self._paused:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._paused.pop().resume()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def kill(self) -> None:
        """kill -9 of the whole tree, at once and without a farewell."""
        self.send(signal.SIGKILL)
        self._paused.clear()
        self._guardian.wait()
        self._close()

    def stop(self, timeout: float = 30.0) -> int:
        """End it in good order; the exit status. One that doesn't end in time is killed and reported."""
        self.resume()
        self.send(self._stop_signal)
        status = self.wait(timeout)
        if status is None:
            tail = self.tail()
            self.kill()
            raise ServerError(f"{self.argv[0]} did not stop within {timeout:g} s and was killed. Its log ends:\n{tail}")
        self._close()
        return status

    def output(self) -> str:
        """What this process has written to its log so far."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.output().splitlines()[-lines:]) or "(nothing)"

    def _close(self) -> None:
        """Release the pipes; the guardian has ended or ends by that."""
        for pipe in (self._guardian.stdin, self._guardian.stdout):
            if pipe is not None:
                # Closing flushes what the guardian may no longer want to read.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._guardian.wait()
