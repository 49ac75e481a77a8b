"""A client of either kind over a server that answers by a script, in a world whose time only moves when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from app.client import AsyncClient, Client, Retries

KINDS = ["blocking", "awaited"]

Answer = httpx.Response | httpx.RequestError
"""What the server does with one request; an error is raised as if the network had."""

ONE: dict[str, Any] = {
    "feature_service": "svc",
    "entity": {"user_id": "u1"},
    "features": {"a": 2**53 + 1, "b": None},
    "statuses": {"a": "PRESENT", "b": "NOT_FOUND"},
    "event_timestamps": {"va": "2026-01-02T03:04:05.000006Z", "vb": None},
}
MANY: dict[str, Any] = {
    "features": ["va:a", "vb:b"],
    "entities": {"user_id": ["u1", "u2"]},
    "values": [[2**53 + 1, None], [None, 0.5]],
    "statuses": [["PRESENT", "NULL_VALUE"], ["NOT_FOUND", "PRESENT"]],
    "event_timestamps": {"va": ["2026-01-02T03:04:05Z", None], "vb": [None, "2026-01-02T03:04:05.000006Z"]},
}
PUSHED: dict[str, Any] = {
    "received": 2,
    "applied": 1,
    "late": 0,
    "duplicate": 0,
    "rejected": 1,
    "outcomes": [{"row": 0, "outcome": "applied"}, {"row": 1, "outcome": "rejected", "reason": "missing column x"}],
}
READY: dict[str, Any] = {"status": "ready", "checks": {"plans": "ok"}, "registry_age_seconds": 0.5}


def ok(body: Any) -> httpx.Response:
    """200 with this JSON."""
    return httpx.Response(200, json=body)


def problem(status: int, slug: str = "some-problem", headers: dict[str, str] | None = None, **members: Any) -> Answer:
    """A problem as the server tells it."""
    body = {
        "type": f"https://freshet.dev/problems/{slug}",
        "title": "Some problem",
        "status": status,
        "detail": "what is wrong",
        "instance": "/v1/x",
        "request_id": "r-1",
        **members,
    }
    head = {"content-type": "application/problem+json", **(headers or {})}
    return httpx.Response(status, content=json.dumps(body), headers=head)


@dataclass
class World:
    """Requests that were sent, and time, which the client's sleeps and the server's slowness move.

    The script's last answer is repeated. `takes` is how many seconds the server needs for each.
    """

    kind: str
    script: list[Answer]
    retries: Retries = field(default_factory=Retries)
    takes: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    now: float = 1000.0
    requests: list[httpx.Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """The result of a client's method; raises what it raises."""
        common: dict[str, Any] = {
            "retries": self.retries,
            "transport": httpx.MockTransport(self._answer),
            "clock": lambda: self.now,
        }
        if self.kind == "blocking":
            with Client("http://features.example", sleep=self._sleep, **common, **self.options) as client:
                return getattr(client, method)(*arguments, **named)
        return asyncio.run(self._awaited(method, arguments, named, common))

    async def _awaited(self, method: str, arguments: Any, named: Any, common: Any) -> Any:
        async def sleep(seconds: float) -> None:
            self._sleep(seconds)

        async with AsyncClient("http://features.example", sleep=sleep, **common, **self.options) as client:
            ask: Callable[..., Any] = getattr(client, method)
            return await ask(*arguments, **named)

    @property
    def request(self) -> httpx.Request:
        """The only one."""
        (request,) = self.requests
        return request

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.now += self.takes
        answer = self.script[min(len(self.requests), len(self.script)) - 1]
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)
        raise answer
