"""A relay before a server that can lose what is said about a commit."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Relays TCP to a server. Once told to, it cuts the connection on which `COMMIT` is sent: after the server got it,
    so that it commits and nobody hears of it, or before."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        """Commits that are still to be cut."""
        self.spares = 0
        """Commits that pass before."""
        self.delivers = True
        """Whether the server gets a COMMIT that is cut."""
        self.refuses_afterwards = False
        """Whether nobody is let in any more after a cut."""
        self._refuses = False
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A shutdown, unlike a close, wakes who waits for it.
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._open]:
            one.close()

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            server = socket.create_connection(self._server)
            self._open += [client, server]
            self._start(self._relay, client, server)
            self._start(self._relay, server, client)

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.cuts and b"COMMIT" in data and target.getpeername() == self._server:
                    if not self.spares:
                        self._cut(source, target, data)
                        return
                    self.spares -= 1
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        self.cuts -= 1
        self._refuses = self.refuses_afterwards
        client.shutdown(socket.SHUT_RDWR)
        if self.delivers:
            server.sendall(data)
        else:
            server.shutdown(socket.SHUT_RDWR)
