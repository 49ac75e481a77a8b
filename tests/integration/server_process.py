"""The real `freshet` command: servers and commands as processes, and the same command line inside this process.

    done = run("apply", environment={"FRESHET_DATA_DIR": str(folder)})       # a process: about 5 s to import Feast
    done = run_here("apply", environment={"FRESHET_DATA_DIR": str(folder)})  # the same without the process
    with serving("serve", environment=..., folder=tmp_path) as server:       # on a free port, ready when this returns
        server.get("/v1/feature-views")
        assert server.stop(signal.SIGTERM) == 0

Every process gets a whole environment of its own: of ours it sees nothing, and no .env of a developer. A server is the
child of a guardian (tests/servers/guardian.py), so that neither it nor its workers outlive the tests.
"""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil  # type: ignore[import-untyped]
import pytest
import typeguard

from tests.servers import ServerError
from tests.servers.process import GuardedProcess

FRESHET = Path(sys.executable).with_name("freshet")
SECONDS = 120.0
"""How long anything may take; a bound against hanging, not an expectation."""

_NUMBERS = itertools.count(1)


class FreshetServer:
    """A running `freshet serve` or `freshet up`."""

    def __init__(self, process: GuardedProcess, temporary: Path) -> None:
        self.process = process
        self.temporary = temporary
        """Its own folder for temporary files."""
        self.url = ""

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Poll until `condition` holds. Raises ServerError when it never does, or when the server ends before."""
        deadline = time.monotonic() + seconds
        while not condition():
            status = self.process.wait(0.05)
            if status is not None or time.monotonic() > deadline:
                how = f"not within {seconds:g} s" if status is None else f"the server ended with status {status}"
                raise ServerError(f"waited for: {what}; {how}. Its log ends:\n{self.process.tail()}")

    def get(self, path: str, timeout: float = SECONDS, **options: Any) -> httpx.Response:
        """GET over a connection of its own, so that any worker may get it."""
        return httpx.get(self.url + path, timeout=timeout, **options)

    def post(self, path: str, body: object, timeout: float = SECONDS) -> httpx.Response:
        """POST of JSON over a connection of its own."""
        return httpx.post(self.url + path, json=body, timeout=timeout)

    def answers(self, path: str, status: int = 200) -> bool:
        """Whether a GET gets this status; False when nobody answers."""
        try:
            return self.get(path).status_code == status
        except httpx.TransportError:
            return False

    def output(self) -> str:
        """What it has written so far, stdout and stderr."""
        return self.process.output()

    def workers(self) -> list[Any]:
        """Its server processes (psutil), where --workers asks for several."""
        children = self.process.family()[1:]
        return [child for child in children if "spawn_main" in " ".join(_command_line(child))]

    def stop(self, number: signal.Signals, seconds: float = 60.0) -> int:
        """Send a signal and wait for the end; the exit status. SIGINT goes to the whole group, as a terminal does."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send(number)
        status = self.process.wait(seconds)
        if status is None:
            raise ServerError(f"no end {seconds:g} s after {number.name}. Its log ends:\n{self.process.tail()}")
        return status

    def _find_address(self) -> bool:
        """Learn the port from the socket itself: `--port 0` then needs nobody to print it."""
        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(self.process.pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    self.url = f"http://127.0.0.1:{connection.laddr.port}"
        return bool(self.url)


def background_workers(parent: Any) -> list[Any]:
    """The workers for background jobs (psutil) below a process."""
    found = []
    for child in parent.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.cmdline()[-2:] == ["worker", "--supervised"]:
                found.append(child)
    return found


@contextlib.contextmanager
def serving(
    *arguments: str, environment: Mapping[str, str], folder: Path, ready: int | None = 200, worker: bool = False
) -> Iterator[FreshetServer]:
    """A server on a free port of 127.0.0.1, from the moment when /readyz answers `ready` (None: when it listens).

    `worker`: with the process for background jobs that it has by default, which few tests need.

    At the end it is interrupted if it still runs, killed if that does not help or the test failed. Tracebacks in its
    log are an error.
    """
    name = f"server-{next(_NUMBERS)}"
    temporary = folder / f"{name}-tmp"
    temporary.mkdir(parents=True)
    with _interruptible():
        process = GuardedProcess(
            [FRESHET, *arguments, "--port", "0", "--worker" if worker else "--no-worker"],
            log=folder / f"{name}.log",
            environment={**base(folder), **environment, "TMPDIR": str(temporary)},
            directory=_empty(folder),
        )
    server = FreshetServer(process, temporary)
    try:
        server.wait_for("a listening socket", server._find_address)
        if ready is not None:
            server.wait_for(f"/readyz to answer {ready}", lambda: server.answers("/readyz", ready))
        yield server
        if process.running:
            server.stop(signal.SIGINT)
    finally:
        # Ends what still runs; releases the pipes where nothing does.
        process.kill()
    assert "Traceback" not in server.output(), server.output()


def run(
    *arguments: str, environment: Mapping[str, str], folder: Path, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """One command as a process, to its end. `before` is a program that runs it in its place."""
    return subprocess.run(
        [*before, FRESHET, *arguments],
        env={**base(folder), **environment},
        cwd=_empty(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def run_here(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The same command line in this process: quicker, with the same output and exit status."""
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as empty:
        patch.chdir(empty)
        patch.setattr(sys, "argv", ["freshet", *arguments])
        # Typer puts in a hook of its own, and app.cli takes the type checks out of what is imported after it.
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(typeguard, "typechecked", typeguard.typechecked)
        for name in os.environ:
            if name.startswith(("FRESHET_", "FEAST_", "PG", "POSTGRES_", "REDIS_")):
                patch.delenv(name)
        # Without it the command line would choose a folder for metrics of its own, away from what this process uses.
        patch.setenv("_FRESHET_METRICS_DIR", os.environ["PROMETHEUS_MULTIPROC_DIR"])
        for name, value in environment.items():
            patch.setenv(name, value)
        from app import cli

        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as end:
                status = end.code or 0
            # A process leaves to its end what a failure kept it from closing.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
    assert isinstance(status, int)
    return subprocess.CompletedProcess(list(arguments), status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let processes started inside take SIGINT, as at a terminal, even where the tests run as a shell's `command &`."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def base(folder: Path) -> dict[str, str]:
    """The environment of a process that sees nothing of ours."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(_empty(folder)), "LANG": "C.UTF-8"}


def _empty(folder: Path) -> Path:
    empty = folder / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    return empty


def _command_line(process: Any) -> list[str]:
    with contextlib.suppress(psutil.Error):
        line: list[str] = process.cmdline()
        return line
    return []
