"""Errors as RFC 9457 application/problem+json: type, title, status, detail, instance, request_id, and faulty fields.

Nothing of a stack trace, a connection string or a value that the caller did not send ever gets into one.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.errors import FieldError, FreshetError, StoreUnavailableError, TooBusyError

log = structlog.get_logger(__name__)

_TYPE_PREFIX = "https://freshet.dev/problems/"
MEDIA_TYPE = "application/problem+json"


class FaultyField(BaseModel):
    """One faulty field of the request."""

    field: str
    """Where: a path such as `entities.user_id[3]`, or the name of a query parameter."""
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FaultyField] = []


def _schema() -> dict[str, Any]:
    """Problem's JSON schema with its one nested model inlined. FastAPI would put a model under application/json."""
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["FaultyField"]
    return schema


def documented(description: str) -> dict[str, Any]:
    """A problem among the responses of a route, for OpenAPI."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _schema()}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: documented(description)
    for status, description in {
        400: "The body is not JSON",
        404: "Unknown feature service, view, feature or push source",
        409: "on_stale=fail and a value is stale",
        422: "The request does not fit the schema; `errors` names every faulty field",
        503: "A store does not answer; retry after Retry-After seconds",
    }.items()
}


_PROCESS = uuid.uuid4().hex[:20]
_requests = itertools.count(1)


def request_id(scope: Scope) -> str:
    """The caller's X-Request-ID where it is a sane one, else a new one; the same for the whole request."""
    known: str | None = scope.get("freshet.request_id")
    if known is None:
        known = f"{_PROCESS}{next(_requests):012x}"
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value.decode("latin-1")
                if 0 < len(given) <= 128 and given.isascii() and given.isprintable():
                    known = given
                break
        scope["freshet.request_id"] = known
    return known


def problem_type(slug: str) -> str:
    """The URI of a type of problem."""
    return _TYPE_PREFIX + slug


def problem(
    request: Request,
    status: int,
    slug: str,
    title: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """The response that tells of one problem."""
    body: dict[str, Any] = {
        "type": problem_type(slug),
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": request_id(request.scope),
    }
    if errors:
        body["errors"] = [{"field": error.field, "message": error.message} for error in errors]
    return Response(_dumps(body), status, {"X-Request-ID": request_id(request.scope), **(headers or {})}, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of `app` be answered with a problem."""
    app.add_exception_handler(FreshetError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


def answer(request: Request, error: Exception) -> Response:
    """The response for an error of a route that answers without FastAPI's handlers."""
    return _domain_error(request, error) if isinstance(error, FreshetError) else _bug(request, error)


def _dumps(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        # Names that the caller chose may hold lone surrogates, which UTF-8 cannot.
        return orjson.dumps({key: _printable(value) for key, value in body.items()})


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [{key: _printable(entry) for key, entry in fault.items()} for fault in value]
    return value


async def _on_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FreshetError)  # noqa: S101 - registered for this class
    return _domain_error(request, error)


def _domain_error(request: Request, error: FreshetError) -> Response:
    headers = {}
    if isinstance(error, StoreUnavailableError | TooBusyError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, StoreUnavailableError):
        log.warning(
            "store unavailable", path=request.url.path, detail=error.detail, request_id=request_id(request.scope)
        )
    return problem(request, error.status, error.slug, error.title, error.detail, error.errors, headers)


def is_not_json(error: RequestValidationError) -> bool:
    """Whether the body could not even be parsed; that is 400, all else about a request is 422."""
    return any(fault["type"] == "json_invalid" for fault in error.errors())


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    faults = [FieldError(_place(fault["loc"]), str(fault["msg"])) for fault in error.errors()]
    if is_not_json(error):
        faults = [FieldError("body", str(fault["ctx"]["error"])) for fault in error.errors()]
        return problem(request, 400, "not-json", "Not JSON", "The body is not valid JSON", faults)
    return problem(
        request, 422, "invalid-request", "Invalid request", "The request does not have the documented form", faults
    )


def _place(location: Sequence[Any]) -> str:
    parts = [part for part in location if part not in ("body", "query", "path")]
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "body"


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    title = HTTPStatus(error.status_code).phrase
    slug = title.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    return problem(request, error.status_code, slug, title, str(error.detail), headers=headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    return _bug(request, error)


def _bug(request: Request, error: Exception) -> Response:
    log.exception("unexpected error", path=request.url.path, request_id=request_id(request.scope), exc_info=error)
    return problem(
        request, 500, "internal", "Internal error", "Something went wrong on this side; the log has the request_id"
    )
