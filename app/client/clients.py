"""The two clients. They differ in how they wait: what is asked, retried, read and raised is the same code."""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2 as httpx

from app.client import methods
from app.client.call import Call
from app.client.retries import Attempts, Outcome, Retries

P = ParamSpec("P")
T = TypeVar("T")

_TIMEOUT = 15.0
"""Seconds; longer than FRESHET_PUSH_TIMEOUT, so that the server's own answer about a store that hangs arrives."""


class _Core:
    """How a server is asked, whichever way a client waits: headers, timeouts, attempts."""

    def __init__(
        self, base_url: str, api_key: str | None, timeout: float, retries: Retries, clock: Callable[[], float]
    ) -> None:
        # None of these messages may repeat what was given: it may hold a password, or be one.
        if not _is_server(base_url):
            raise ValueError("base_url must be http://host[:port] or https://host[:port]")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
            raise ValueError("api_key must be printable ASCII")
        if timeout <= 0:
            raise ValueError("timeout must be a positive number of seconds")
        self._base_url = base_url
        self._api_key = api_key
        self._timeout = timeout
        self._retries = retries
        self._clock = clock

    def session(self) -> dict[str, Any]:
        """Arguments for httpx's clients. Redirects are not followed: they would carry the key elsewhere."""
        headers = {"Accept": "application/json", "User-Agent": "freshet-client"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return {"base_url": self._base_url, "headers": headers, "follow_redirects": False}

    def attempts(self, call: Call[Any]) -> Attempts:
        """The attempts of a call that begins now."""
        return Attempts(self._retries, call.repeat, self._clock, random.random)

    def options(self, call: Call[Any], attempts: Attempts) -> dict[str, Any]:
        """Arguments for one attempt."""
        return {**call.options(), "timeout": min(self._timeout, attempts.seconds_left())}


def _is_server(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def _described(method: Callable[..., Any], build: Callable[..., Any]) -> None:
    """Give a client's method the name, docstring and signature of the function that makes its call."""
    functools.update_wrapper(method, build)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    made = inspect.signature(build)
    signature = made.replace(
        parameters=[own, *made.parameters.values()],
        return_annotation=made.return_annotation.removeprefix("Call[").removesuffix("]"),
    )
    method.__signature__ = signature  # type: ignore[attr-defined]


def _blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(build(*args, **kwargs))

    _described(method, build)
    return method


def _awaited(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(build(*args, **kwargs))

    _described(method, build)
    return method


class Client:
    """A client that blocks. It may be shared by threads; use it in a `with`, or `close()` it.

        with Client("http://127.0.0.1:8000") as client:
            client.read_one("assistant_v1", {"user_id": "u1"}).features

    `api_key` is sent as a bearer token. `timeout` is in seconds and for each wait on the network: connecting, sending,
    the answer. `retries` says how often, and for how long in all, a call that may be repeated is. What goes wrong is a
    ClientError; arguments that cannot be sent are a ValueError or TypeError, before anything is.

    `transport` replaces the network, `clock` and `sleep` the time: for tests.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout: float = _TIMEOUT,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._core = _Core(base_url, api_key, timeout, retries, clock)
        self._http = httpx.Client(**self._core.session(), transport=transport)
        self._sleep = sleep

    read_one = _blocking(methods.read_one)
    read_many = _blocking(methods.read_many)
    push = _blocking(methods.push)
    feature_views = _blocking(methods.feature_views)
    feature_view = _blocking(methods.feature_view)
    feature_services = _blocking(methods.feature_services)
    feature_service = _blocking(methods.feature_service)
    push_sources = _blocking(methods.push_sources)
    push_source = _blocking(methods.push_source)
    ready = _blocking(methods.ready)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, call: Call[T]) -> T:
        attempts = self._core.attempts(call)
        while True:
            try:
                outcome: Outcome = self._http.request(**self._core.options(call, attempts))
            except httpx.RequestError as error:
                outcome = error
            delay = attempts.delay_after(outcome)
            if delay is None:
                return call.answer(outcome)
            self._sleep(delay)


class AsyncClient:
    """A client to await: the same arguments and methods as Client, each method a coroutine. Use it in an `async with`,
    or `await aclose()`."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout: float = _TIMEOUT,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._core = _Core(base_url, api_key, timeout, retries, clock)
        self._http = httpx.AsyncClient(**self._core.session(), transport=transport)
        self._sleep = sleep or _sleep

    read_one = _awaited(methods.read_one)
    read_many = _awaited(methods.read_many)
    push = _awaited(methods.push)
    feature_views = _awaited(methods.feature_views)
    feature_view = _awaited(methods.feature_view)
    feature_services = _awaited(methods.feature_services)
    feature_service = _awaited(methods.feature_service)
    push_sources = _awaited(methods.push_sources)
    push_source = _awaited(methods.push_source)
    ready = _awaited(methods.ready)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self, call: Call[T]) -> T:
        attempts = self._core.attempts(call)
        while True:
            try:
                outcome: Outcome = await self._http.request(**self._core.options(call, attempts))
            except httpx.RequestError as error:
                outcome = error
            delay = attempts.delay_after(outcome)
            if delay is None:
                return call.answer(outcome)
            await self._sleep(delay)


async def _sleep(seconds: float) -> None:
    import anyio  # httpx's own choice of event loops, loaded with its first request

    await anyio.sleep(seconds)
