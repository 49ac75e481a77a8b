"""uvicorn's HTTP protocol, with the head and the body of an answer in one write.

uvicorn writes the head when `http.response.start` is sent and the body after it, and uvloop gives each write to the
kernel at once: for one entity the two calls took a quarter of the time (docs/adr/0010-hot-path.md). ASGI asks servers
to wait with the head for the body's first part ("Response Start" in its HTTP specification).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites(asyncio.Transport):
    """A transport that writes once what is written before the event loop's next turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._parts: list[Any] = []
        self._later = asyncio.get_running_loop().call_soon
        # What uvicorn asks for each request goes straight to the transport.
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]

    def write(self, data: Any) -> None:
        """Write this in the loop's next turn, in one call with whatever comes until then."""
        if not self._parts:
            self._later(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        parts = self._parts
        if parts:
            self._parts = []
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """Close once everything is written."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what was not written is lost."""
        self._parts = []
        self._transport.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection on to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Whose connection it is."""
        return self._transport.get_protocol()


class OneWriteProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(JoinedWrites(transport))
