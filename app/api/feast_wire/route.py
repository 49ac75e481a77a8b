"""The route of Feast's wire: errors in the shape that Feast's client understands."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from fastapi import Request, Response

from app.api import problems
from app.api.direct import DirectRoute
from app.errors import FreshetError, InvalidRequestError, NotFoundError

_MODULE = "feast.errors"


class UnknownServiceError(NotFoundError):
    """A feature service that the registry does not have, as Feast's client calls it."""

    feast_class: ClassVar[str] = "FeatureServiceNotFoundException"


class UnknownViewError(NotFoundError):
    """The same for a feature view."""

    feast_class: ClassVar[str] = "FeatureViewNotFoundException"


class UnknownPushSourceError(NotFoundError):
    """The same for a push source, with the status that Feast gives it."""

    feast_class: ClassVar[str] = "PushSourceNotFoundException"
    status = 422


class NameCollisionError(InvalidRequestError):
    """Two features that would have the same name in the answer, as Feast's client calls it."""

    feast_class: ClassVar[str] = "FeatureNameCollisionError"


class FeastRoute(DirectRoute):
    """A direct route whose errors are JSON strings that hold {"module", "class", "message"}.

    Feast's client raises the class named there. It calls again on 429 and 5xx, so every fault of the caller is another
    4xx.
    """

    def failure(self, request: Request, error: Exception) -> Response:
        """The answer that tells of an error: status, log line and headers are those of a problem."""
        problem = problems.answer(request, error)
        headers = {name: value for name, value in problem.headers.items() if not name.startswith("content-")}
        return Response(_detail(error), problem.status_code, headers, "application/json")


def _detail(error: Exception) -> bytes:
    message = "Something went wrong on this side; the log has the request id"
    if isinstance(error, FreshetError):
        message = "; ".join([error.detail, *(f"{fault.field}: {fault.message}" for fault in error.errors)])
    told = {"module": _MODULE, "class": getattr(error, "feast_class", "FeastError"), "message": message}
    return json.dumps(json.dumps(told)).encode()


def documented(description: str) -> dict[str, Any]:
    """An error among the responses of a route, for OpenAPI."""
    schema = {"type": "string", "description": 'JSON text of {"module", "class", "message"}.'}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: documented(description)
    for status, description in {
        400: "The body is not JSON",
        404: "Unknown feature service, view or feature",
        413: "The body is longer than FRESHET_MAX_BODY_BYTES",
        422: "The request does not fit the registry, or asks for what is not supported; the message names every fault",
        503: "A store does not answer; retry after Retry-After seconds",
    }.items()
}
"""The errors of every route here, for OpenAPI."""
