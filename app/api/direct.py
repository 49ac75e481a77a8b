"""Routes that answer without FastAPI's layers, because those cost more than the read itself.

FastAPI documents such a route like any other, and would route to it like any other; `DirectApp` finds it first, by one
look into a dictionary, and so leaves out the middleware stack, the matching of every route, and the validation of
parameters, which the endpoint does itself. Measured in docs/adr/0010-hot-path.md.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app import metrics
from app.api import problems

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A route of one method whose endpoint takes a Request and returns a Response; its path may end in a parameter.

    It observes freshet_http_request_duration_seconds{route,method,status}, gives the answer its request id, and turns
    errors into problems.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.method = next(iter(self.methods or ()))
        self.prefix, _, parameter = path.partition("{")
        self.parameter = parameter.removesuffix("}")
        self._answer = endpoint
        self._durations: dict[int, Histogram] = {}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook, for requests that reach the route through its routing."""
        return self.respond

    async def respond(self, request: Request) -> Response:
        """The answer to a request, whatever goes wrong. Raises ClientDisconnect where nobody waits for it any more."""
        began = time.perf_counter()
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            raise
        except Exception as error:  # nothing is above this but the server, which would log it and say nothing
            response = problems.answer(request, error)
        response.headers["X-Request-ID"] = problems.request_id(request)
        status = response.status_code
        duration = self._durations.get(status)
        if duration is None:
            duration = metrics.HTTP_REQUEST_DURATION.labels(self.path, self.method, str(status))
            self._durations[status] = duration
        duration.observe(time.perf_counter() - began)
        return response


class DirectApp(FastAPI):
    """A FastAPI application that looks for a direct route before it does anything else."""

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
                with contextlib.suppress(ClientDisconnect):
                    response = await route.respond(Request(scope, receive))
                    await response(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
