"""One call: what is sent, which failures allow another attempt, and what the answer means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx2 as httpx

from app.client.errors import NoAnswerError, Problem, UnexpectedAnswerError, problem_error
from app.client.retries import Outcome, Repeat, nothing_sent, retry_after

T = TypeVar("T")

JSON = "application/json"


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request that any transport can send, as often as `repeat` allows, and the reader of its answer."""

    method: str
    path: str
    """From the root of the server, percent-encoded."""
    read: Callable[[Any], T]
    """From the answer's decoded JSON to what the caller gets."""
    query: Sequence[tuple[str, str]] = ()
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: Repeat = Repeat.SAFE
    statuses: frozenset[int] = frozenset({200})
    """The statuses that are answers and not problems."""
    idempotency_key: str | None = None

    def options(self) -> dict[str, Any]:
        """Arguments for httpx's `request`."""
        headers = dict(self.headers)
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return {
            "method": self.method,
            "url": self.path,
            "params": list(self.query) or None,
            "content": self.content,
            "headers": headers,
        }

    def answer(self, outcome: Outcome) -> T:
        """What the call ends with, after its last attempt. Raises ClientError where that is no answer."""
        if isinstance(outcome, httpx.RequestError):
            sent = not nothing_sent(outcome)
            message = f"{self._name}: no answer ({type(outcome).__name__}: {outcome})"
            raise NoAnswerError(message, sent, self.idempotency_key) from outcome
        body = _decoded(outcome)
        if outcome.status_code in self.statuses and body is not None:
            try:
                return self.read(body)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise self._unexpected(outcome, f"{type(error).__name__}: {error}") from error
        if outcome.status_code < 400:
            raise self._unexpected(outcome, "no JSON" if outcome.status_code in self.statuses else "not an answer")
        problem = Problem.read(outcome.status_code, body, outcome.headers.get("x-request-id", ""))
        raise problem_error(problem, retry_after(outcome.headers), self.idempotency_key)

    @property
    def _name(self) -> str:
        return f"{self.method} {self.path}"

    def _unexpected(self, response: httpx.Response, reason: str) -> UnexpectedAnswerError:
        kind = response.headers.get("content-type", "no content type")
        message = f"{self._name}: not what Freshet would answer (status {response.status_code}, {kind}; {reason})"
        return UnexpectedAnswerError(message, self.idempotency_key)


def json_body(value: Any) -> bytes:
    """A request's body. All of it is ASCII: lone surrogates reach the server, which says where they are."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _decoded(response: httpx.Response) -> Any:
    """The JSON of an answer of whatever status; None where it is none."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        return None
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None
