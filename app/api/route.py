"""The route class of every endpoint: it times requests by route template, and gives every answer its request id.

This is done here and not in a middleware because a pure-ASGI middleware costs a third of the throughput
(docs/adr/0005-hot-path.md has the measurement).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app import metrics
from app.api.problems import request_id
from app.errors import FreshetError


class TimedRoute(APIRoute):
    """An APIRoute that observes freshet_http_request_duration_seconds{route,method,status}."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook: the handler of this route, wrapped."""
        handle = super().get_route_handler()
        template = self.path

        async def timed(request: Request) -> Response:
            began = time.perf_counter()
            status = 500
            try:
                response = await handle(request)
                status = response.status_code
            except FreshetError as error:
                status = error.status
                raise
            except RequestValidationError:
                status = 422
                raise
            else:
                response.headers["X-Request-ID"] = request_id(request)
                return response
            finally:
                labels = (template, request.method, str(status))
                metrics.HTTP_REQUEST_DURATION.labels(*labels).observe(time.perf_counter() - began)

        return timed
