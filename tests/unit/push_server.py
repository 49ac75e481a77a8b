"""The push endpoint of DESIGN.md section 6 as a small ASGI application: what the client must keep to on the wire.

It takes rows as JSON or as an Arrow stream, a watermark, `atomic`, and an Idempotency-Key whose rows it writes once.
Rows without a `user_id` are faulty.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.values import format_timestamp, parse_timestamp

ARROW = "application/vnd.apache.arrow.stream"


class PushServer:
    """Remembers what was pushed. `lost` answers are not sent: the rows are written, but the client does not hear so."""

    def __init__(self, lost: int = 0) -> None:
        self.rows: list[dict[str, Any]] = []
        self.watermarks: list[str] = []
        self.targets: list[str] = []
        self.requests = 0
        self._lost = lost
        self._answers: dict[str, tuple[bytes, Response]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.requests += 1
        answer = self._once(request, await request.body())
        if self._lost:
            self._lost -= 1
            answer = Response("<html>upstream closed</html>", 502)
        await answer(scope, receive, send)

    def _once(self, request: Request, body: bytes) -> Response:
        key = request.headers.get("idempotency-key")
        if key is None:
            return self._push(request, body)
        if key not in self._answers:
            self._answers[key] = body, self._push(request, body)
        known, answer = self._answers[key]
        return answer if known == body else _problem("this key came with another body")

    def _push(self, request: Request, body: bytes) -> Response:
        if request.headers["content-type"] == ARROW:
            said: dict[str, Any] = dict(request.query_params)
            rows = pa.ipc.open_stream(body).read_all().to_pylist()
        else:
            said = json.loads(body)
            rows = said["rows"]
        bad = [place for place, row in enumerate(rows) if not row.get("user_id")]
        outcomes = [{"row": place, "outcome": "rejected" if place in bad else "applied"} for place in range(len(rows))]
        if bad and request.query_params.get("atomic") == "true":
            return _problem("nothing was written", outcomes=outcomes)
        self.rows += [row for place, row in enumerate(rows) if place not in bad]
        self.targets.append(said["to"])
        self.watermarks += [said["watermark"]] if "watermark" in said else []
        # As the server does: in UTC.
        moved = {"watermark": format_timestamp(parse_timestamp(said["watermark"]))} if "watermark" in said else {}
        counts = {**moved, "received": len(rows), "applied": len(rows) - len(bad), "rejected": len(bad)}
        return JSONResponse({**counts, "late": 0, "duplicate": 0, "outcomes": outcomes})


def _problem(detail: str, **members: Any) -> Response:
    body = {"type": "https://freshet.dev/problems/invalid-request", "title": "Invalid request", "status": 422}
    return JSONResponse({**body, "detail": detail, **members}, 422, media_type="application/problem+json")
