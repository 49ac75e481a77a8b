"""Asks the application of one tree in its own process, without HTTP but with a real Redis, and tells what CPU it took.

Started by benchmarks.against by its path, with the tree on PYTHONPATH. A line of JSON in, `[file of requests, number]`,
is answered by a line with the CPU seconds of each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ["PROMETHEUS_MULTIPROCESS_DIR"] = tempfile.mkdtemp()

from app.startup import import_feast_fast

import_feast_fast()

from app.main import create_app  # noqa: E402
from app.settings import Settings  # noqa: E402


def _scope(app: Any, line: bytes) -> tuple[dict[str, Any], bytes]:
    method, target, body = line.split(b"\t", 2)
    path, _, query = target.decode().partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode(),
    }
    scope |= {
        "method": method.decode(),
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
    }
    scope |= {"headers": [(b"content-type", b"application/json")], "scheme": "http"}
    return scope, body


async def _ask(app: Any, scope: dict[str, Any], body: bytes) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"answered with {message['status']}")

    await app(scope, receive, send)


async def _main() -> None:
    app = create_app(Settings())
    loop = asyncio.get_running_loop()
    async with app.router.lifespan_context(app):
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            file, number = json.loads(line)
            lines = (await asyncio.to_thread(Path(file).read_bytes)).splitlines()
            asked = [_scope(app, lines[place % len(lines)]) for place in range(number)]
            before = time.process_time()
            for scope, body in asked:
                await _ask(app, dict(scope), body)
            # Long enough for what is done four times a second.
            await asyncio.sleep(0.26)
            print((time.process_time() - before) / number, flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
