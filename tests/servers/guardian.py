"""The parent of one server process: when the tests are gone, it ends the server and removes its files.

Run as a script (`python -I guardian.py`), never imported. A test session may end by kill -9, so what cleans up after it
must not live inside it. One JSON line on stdin says what to run; the server's pid, or the reason why there is none,
comes back as one JSON line on stdout. From then on three events matter:

- the server ends: its remaining descendants are ended too, and its exit status becomes ours;
- stdin closes, or our parent changes: the tests are gone. The server gets `quit_signal`, then SIGKILL; the folders
  named in `remove` are deleted;
- a SIGTERM to us counts as the second one.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import psutil  # type: ignore[import-untyped]

_PR_SET_CHILD_SUBREAPER = 36
_QUIT_SECONDS = 5.0


class Guardian:
    """Watches one server."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._parent = int(spec["parent"])
        self._quit_signal = int(spec["quit_signal"])
        self._remove: list[str] = spec["remove"]
        self._status: int | None = None
        self._abandoned = False
        self._wake, wake_writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._leave)
        with open(spec["log"], "ab") as log:  # noqa: PTH123 - pathlib would only slow the start
            account = spec["account"]
            self._server = subprocess.Popen(
                spec["argv"],
                env=spec["environment"],
                cwd=spec["directory"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: a server that signals its group must not hit us.
                start_new_session=True,
                user=account["uid"] if account else None,
                group=account["gid"] if account else None,
                extra_groups=[] if account else None,
            )
        self.pid = self._server.pid

    def watch(self) -> int:
        """Wait for the server's end or the tests'; the server's exit status, 128 + n after signal n."""
        poller = select.poll()
        poller.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
        poller.register(self._wake, select.POLLIN)
        while self._reap() is None:
            # The timeout is for a forked child of the tests that holds the other end of our stdin open.
            for descriptor, _ in poller.poll(1000):
                if descriptor == self._wake:
                    self._drain()
                else:
                    self._abandoned = True
            if self._abandoned or os.getppid() != self._parent:
                self._quit()
                break
        self._sweep()
        status = self._status if self._status is not None else 0
        self._server.returncode = status
        return status if status >= 0 else 128 - status

    def _leave(self, *_: object) -> None:
        self._abandoned = True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _reap(self) -> int | None:
        """Collect whoever ended, adopted orphans included; the server's status once it is known."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self.pid:
                    self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def _quit(self) -> None:
        """The tests are gone: wake whoever is paused, ask once, remove the files once it is over."""
        for member in self._family():
            with contextlib.suppress(psutil.Error):
                member.resume()
        if self._reap() is None:
            os.kill(self.pid, self._quit_signal)
        deadline = time.monotonic() + _QUIT_SECONDS
        while self._reap() is None and time.monotonic() < deadline:
            select.select([self._wake], [], [], deadline - time.monotonic())
            self._drain()
        self._sweep()
        for folder in self._remove:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Nobody survives: SIGKILL to every descendant, again for those that become ours meanwhile."""
        while family := self._family():
            for member in family:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(-1, 0)
                if pid == self.pid:
                    self._status = os.waitstatus_to_exitcode(status)
            self._reap()

    def _family(self) -> list[Any]:
        family: list[Any] = psutil.Process().children(recursive=True)
        return family


def main() -> int:
    spec = json.loads(sys.stdin.buffer.readline())
    if sys.platform == "linux":
        # Orphans of the server become our children, so that none is lost from sight.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        guardian = Guardian(spec)
    except (OSError, subprocess.SubprocessError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 127
    print(json.dumps({"pid": guardian.pid}), flush=True)
    return guardian.watch()


if __name__ == "__main__":
    sys.exit(main())
