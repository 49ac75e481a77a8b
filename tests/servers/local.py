"""What the servers that we start ourselves have in common: a port, a life cycle, a folder that goes with them."""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.account import make_workspace, server_account
from tests.servers.errors import PortTakenError, ServerError
from tests.servers.ports import HOST, free_port
from tests.servers.process import GuardedProcess

START_SECONDS = 60.0
_PORTS_TO_TRY = 20


class LocalServer(ABC):
    """A server process on 127.0.0.1. As a context manager it starts on entry; on exit nothing of it is left."""

    #: Also names the temporary folder: short, because the path of a Unix socket inside it is limited to 107 bytes.
    name: str
    #: Whether its folder should be on no disk.
    in_memory = False

    def __init__(self) -> None:
        self.host = HOST
        self.port = 0
        self.account = server_account()
        self.workspace: Path | None = None
        self._process: GuardedProcess | None = None

    def __enter__(self) -> Self:
        self.workspace = make_workspace(self.name, self.account, in_memory=self.in_memory)
        try:
            self._prepare(self.workspace)
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.running:
                self.stop()
        finally:
            self._remove()

    @property
    def process(self) -> GuardedProcess:
        if self._process is None:
            raise ServerError(f"{self.name} has not been started")
        return self._process

    @property
    def pid(self) -> int:
        """The pid of the running (or latest) server process."""
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start on a free port; after a stop or a kill, on the same port and data as before."""
        if self.running:
            raise ServerError(f"{self.name} is running already")
        if self.port:
            self._start_again()
            return
        for _ in range(_PORTS_TO_TRY):
            self.port = self._free_port()
            try:
                self._launch()
            except PortTakenError:
                continue
            except BaseException:
                self.port = 0
                raise
            return
        self.port = 0
        raise ServerError(f"{self.name}: each of {_PORTS_TO_TRY} ports was taken before it could listen there")

    def stop(self) -> None:
        """End it in good order, as an operator would. Data and port are kept for `start`."""
        self.process.stop()

    def kill(self) -> None:
        """kill -9, of its child processes too."""
        self.process.kill()

    def restart(self) -> None:
        """Stop if it runs, start again on the same port and data."""
        if self.running:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): it accepts connections, as the kernel does that, and answers nothing."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Frozen inside the with block."""
        with self.process.paused():
            yield

    @abstractmethod
    def _prepare(self, workspace: Path) -> None:
        """Make programs, configuration and data ready, once."""

    @abstractmethod
    def _spawn(self) -> GuardedProcess:
        """Start the process on self.port."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether our process, not a stranger on the same port, serves requests."""

    @abstractmethod
    def _discard(self, workspace: Path) -> None:
        """Remove what a killed server left outside of its folder."""

    def _free_port(self) -> int:
        return free_port()

    def _start_again(self) -> None:
        """Another process may hold our port for a moment, but where clients look for us is where we must be."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._launch()
            except PortTakenError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def _launch(self) -> None:
        process = self._process = self._spawn()
        deadline = time.monotonic() + START_SECONDS
        try:
            while not self._answers():
                if not process.running:
                    kind = PortTakenError if "ddress already in use" in process.output() else ServerError
                    raise kind(f"{self.name} on port {self.port} ended at once. Its log ends:\n{process.tail()}")
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"{self.name} on port {self.port} did not answer within {START_SECONDS:g} s. "
                        f"Its log ends:\n{process.tail()}"
                    )
                process.wait(0.02)
        except BaseException:
            process.kill()
            raise

    def _remove(self) -> None:
        if self.workspace is not None:
            self._discard(self.workspace)
            shutil.rmtree(self.workspace)
            self.workspace = None
