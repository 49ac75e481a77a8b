"""A relay before a server that can lose answers: the server has done the work, and who asked never hears of it."""

from __future__ import annotations

from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

import httpx2 as httpx


class LosingProxy:
    """Relays POST requests to a server; the next `losses` answers it throws away, and hangs up instead."""

    def __init__(self, server: str) -> None:
        self.losses = 0
        self.heard: list[Message] = []
        """The headers of every request, in order."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(server))
        self._thread = Thread(target=self._http.serve_forever)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self, server: str) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Relay(BaseHTTPRequestHandler):
            """One connection, for one request."""

            def do_POST(self) -> None:
                proxy.heard.append(self.headers)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = httpx.post(server + self.path, content=body, headers=kept, timeout=60)
                if proxy.losses:
                    proxy.losses -= 1
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test has what was heard."""

        return Relay
