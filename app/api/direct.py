"""Routes that answer without FastAPI's layers, because those cost more than the read itself.

FastAPI documents such a route like any other, and would route to it like any other; `DirectApp` finds it first, by one
look into a dictionary, and so leaves out the middleware stack, the matching of every route, and the validation of
parameters, which the endpoint does itself. Measured in docs/adr/0010-hot-path.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app import hot_metrics, metrics
from app.api import problems
from app.errors import BodyTooLargeError


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with another status than 200. Its body is JSON, or empty."""

    status: int
    body: bytes


Endpoint = Callable[[Scope, Receive], Awaitable[bytes | Reply]]
"""From an HTTP request to the JSON of its answer; raises FreshetError, and ClientDisconnect where nobody waits for it
any more."""


async def _documented() -> None:
    """Stands for an endpoint in FastAPI's look at it; never called."""


class DirectRoute(APIRoute):
    """A route of one method with an Endpoint; its path may end in a parameter, which is then in `path_params`.

    It observes freshet_http_request_duration_seconds{route,method,status}, gives the answer its request id, and turns
    errors into problems, or into what a subclass makes of them in `failure`.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        self._answer = endpoint
        self._durations: dict[int, hot_metrics.HotHistogram] = {}
        # FastAPI would take the endpoint's arguments for parameters of the request.
        documented = functools.wraps(endpoint)(_documented)
        del documented.__wrapped__
        super().__init__(path, documented, **options)
        self.method = next(iter(self.methods or ()))
        self.prefix, _, parameter = path.partition("{")
        self.parameter = parameter.removesuffix("}")

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook, for requests that reach the route through its routing."""

        async def handle(request: Request) -> Response:
            status, headers, body = await self.respond(request.scope, request.receive)
            response = Response(body, status)
            response.raw_headers = headers
            return response

        return handle

    def failure(self, request: Request, error: Exception) -> Response:
        """The answer that tells of an error."""
        return problems.answer(request, error)

    async def respond(self, scope: Scope, receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body of the answer, whatever goes wrong. Raises ClientDisconnect."""
        began = time.perf_counter()
        try:
            answer = await self._answer(scope, receive)
        except ClientDisconnect:
            raise
        except Exception as error:  # nothing is above this but the server, which would log it and say nothing
            response = self.failure(Request(scope), error)
            status, headers, body = response.status_code, response.raw_headers, bytes(response.body)
        else:
            status, body = (200, answer) if isinstance(answer, bytes) else (answer.status, answer.body)
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", problems.request_id(scope).encode()),
            ]
        duration = self._durations.get(status)
        if duration is None:
            child = metrics.HTTP_REQUEST_DURATION.labels(self.path, self.method, str(status))
            duration = self._durations[status] = hot_metrics.HotHistogram(child)
        duration.observe(time.perf_counter() - began)
        return status, headers, body


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body of a request. Raises BodyTooLargeError beyond `limit` bytes, and ClientDisconnect."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > limit:
            raise BodyTooLargeError(f"The body is longer than {limit} bytes (FRESHET_MAX_BODY_BYTES)")
        parts.append(part)
        if not message.get("more_body"):
            return part if len(parts) == 1 else b"".join(parts)


class DirectApp(FastAPI):
    """A FastAPI application that looks for a direct route before it does anything else."""

    context: Any
    """What its endpoints share. FastAPI's own place for it, `state`, costs a microsecond per look."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._direct: dict[tuple[str, str], DirectRoute] = {}

    def include_direct_router(self, router: APIRouter) -> None:
        """Include a router, and take note of its direct routes."""
        self.include_router(router)
        for route in router.routes:
            if isinstance(route, DirectRoute):
                self._direct[route.method, route.prefix] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection; the server calls this."""
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            route = self._direct.get((method, path))
            if route is None:
                cut = path.rfind("/") + 1
                route = self._direct.get((method, path[:cut]))
                if route is not None and route.parameter and cut < len(path):
                    scope["path_params"] = {route.parameter: path[cut:]}
                else:
                    route = None
            elif route.parameter:
                route = None
            if route is not None:
                scope["app"] = self
                try:
                    status, headers, body = await route.respond(scope, receive)
                except ClientDisconnect:
                    return
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
        await super().__call__(scope, receive, send)
