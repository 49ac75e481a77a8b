"""What a call may end in, other than an answer. Every class is a ClientError.

A problem (RFC 9457) that the server told is a ProblemError with the problem in it: RefusedError for what the same
request will always meet, UnavailableError and TooManyRequestsError for what passes, ServerError for a fault over there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from app.errors import FieldError


@dataclass(frozen=True)
class Problem:
    """RFC 9457 problem details, as the server told them.

    `type` is `https://freshet.dev/problems/` and a slug (docs/api.md lists them), or `about:blank` where something
    else than Freshet answered. `errors` names every faulty field of the request; `request_id` finds the server's log
    line; `members` is the whole body, with what a problem carries beyond the standard.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    request_id: str = ""
    errors: tuple[FieldError, ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The last part of the type: `not-found`, `store-unavailable`..."""
        return self.type.rpartition("/")[2]

    @classmethod
    def read(cls, status: int, body: Any, request_id: str = "") -> Problem:
        """The problem in a decoded body, whatever that is: a proxy between may answer with anything."""
        known = body if isinstance(body, dict) else {}
        faults = known.get("errors")
        return cls(
            type=str(known.get("type", "about:blank")),
            title=str(known.get("title") or _phrase(status)),
            status=status,
            detail=str(known.get("detail", "")),
            instance=str(known.get("instance", "")),
            request_id=str(known.get("request_id", request_id)),
            errors=tuple(
                FieldError(str(fault.get("field", "")), str(fault.get("message", "")))
                for fault in (faults if isinstance(faults, list) else [])
                if isinstance(fault, dict)
            ),
            members=known,
        )

    def __str__(self) -> str:
        """One line for a log: what is wrong, each faulty field, and where to look further."""
        faults = "".join(f"; {error.field}: {error.message}" for error in self.errors)
        request = f", request {self.request_id}" if self.request_id else ""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.title}{detail}{faults} (status {self.status}{request})"


class ClientError(Exception):
    """Base of everything that a call raises once its arguments were found good.

    `idempotency_key` is the key that a push carried. Pushing the same rows again with it is safe even where nobody
    knows whether they were written.
    """

    def __init__(self, message: str, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class NoAnswerError(ClientError):
    """The server could not be reached or did not answer in time. `sent` is False where nothing left this machine, and
    True where the server may have done what was asked."""

    def __init__(self, message: str, sent: bool, idempotency_key: str | None = None) -> None:
        super().__init__(message, idempotency_key)
        self.sent = sent


class UnexpectedAnswerError(ClientError):
    """Something answered that does not speak as Freshet does: another service, a login page, a redirect."""


class ProblemError(ClientError):
    """The server told a problem. `retry_after` is the number of seconds it asks to wait for, or None."""

    def __init__(self, problem: Problem, retry_after: float | None = None, idempotency_key: str | None = None) -> None:
        super().__init__(str(problem), idempotency_key)
        self.problem = problem
        self.retry_after = retry_after


class RefusedError(ProblemError):
    """4xx: the request is at fault, or the state of the data refuses it. Never retried."""


class InvalidRequestError(RefusedError):
    """400, 413, 415, 422: the request does not fit. `problem.errors` names every faulty field."""


class NotFoundError(RefusedError):
    """404: a feature service, view, feature or push source that the registry does not have."""


class StaleFeaturesError(RefusedError):
    """409: `on_stale="fail"`, and at least one value is older than its ttl or than `max_staleness`."""


class AccessDeniedError(RefusedError):
    """401, 403: the API key is missing, unknown, or not allowed to do this."""


class TooManyRequestsError(ProblemError):
    """429, after every retry: the server has more to do than it takes on. Nothing was written."""


class UnavailableError(ProblemError):
    """502, 503, 504, after every retry: the server, or a store behind it, does not answer."""


class ServerError(ProblemError):
    """Any other 5xx: a fault of the server. Its log has the `problem.request_id`."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    400: InvalidRequestError,
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: NotFoundError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: TooManyRequestsError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def problem_error(problem: Problem, retry_after: float | None, idempotency_key: str | None) -> ProblemError:
    """The exception, of the class that fits, for a problem."""
    if problem.slug == "stale-features":
        kind: type[ProblemError] = StaleFeaturesError
    else:
        kind = _BY_STATUS.get(problem.status, RefusedError if problem.status < 500 else ServerError)
    return kind(problem, retry_after, idempotency_key)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"
