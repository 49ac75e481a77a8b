"""When a call is made again, and after how long: rules over what came back, a clock and a random number. No I/O."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2 as httpx

from app.domain import utc

Outcome = httpx.Response | httpx.RequestError
"""How one attempt ended."""

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_PASSING = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, httpx.ProxyError)
_TOO_MANY_REQUESTS = 429
_PASSING_STATUSES = frozenset({_TOO_MANY_REQUESTS, 502, 503, 504})
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


class Repeat(enum.Enum):
    """Which failures of a call allow another attempt."""

    SAFE = enum.auto()
    """Any that may pass: doing it twice does no harm."""
    UNSENT = enum.auto()
    """Those after which the server certainly did nothing: no connection, or 429."""
    NEVER = enum.auto()


@dataclass(frozen=True)
class Retries:
    """How persistent a client is. All times are seconds; `Retries(attempts=1)` asks once.

    Between attempts it waits for `first_delay`, doubled each time up to `longest_delay`, of which half is left to
    chance so that clients do not come back all at once; a Retry-After of the server comes on top of that. `deadline`
    is the time for a call as a whole: no attempt begins after it, and a wait that would end after it is not begun:
    the failure is raised at once. Each wait on the network is at most what was left when its attempt began.
    """

    attempts: int = 5
    deadline: float = 30.0
    first_delay: float = 0.1
    longest_delay: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.deadline <= 0 or not 0 <= self.first_delay <= self.longest_delay:
            raise ValueError("a call needs at least one attempt, some time, and delays that are not negative")


class Attempts:
    """The attempts of one call, from its first moment on."""

    def __init__(
        self, retries: Retries, repeat: Repeat, clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._retries = retries
        self._repeat = repeat
        self._clock = clock
        self._chance = chance
        self._end = clock() + retries.deadline
        self._made = 0

    def seconds_left(self) -> float:
        """Until the deadline, or a moment where that is less: httpx would wait for ever or not at all."""
        return max(0.001, self._end - self._clock())

    def delay_after(self, outcome: Outcome) -> float | None:
        """How long to wait before another attempt; None when `outcome` is what the call ends with."""
        self._made += 1
        if self._made >= self._retries.attempts or not self._may_repeat(outcome):
            return None
        delay = min(self._retries.longest_delay, self._retries.first_delay * 2.0 ** min(self._made - 1, 60))
        delay *= 0.5 + 0.5 * self._chance()
        if isinstance(outcome, httpx.Response):
            delay += retry_after(outcome.headers) or 0.0
        return delay if self._clock() + delay < self._end else None

    def _may_repeat(self, outcome: Outcome) -> bool:
        if self._repeat is Repeat.NEVER:
            return False
        if isinstance(outcome, httpx.Response):
            if self._repeat is Repeat.UNSENT:
                return outcome.status_code == _TOO_MANY_REQUESTS
            return outcome.status_code in _PASSING_STATUSES
        return nothing_sent(outcome) if self._repeat is Repeat.UNSENT else isinstance(outcome, _PASSING)


def nothing_sent(error: httpx.RequestError) -> bool:
    """Whether the attempt failed before any of the request left this machine."""
    return isinstance(error, _NOTHING_SENT)


def retry_after(headers: httpx.Headers) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or as a date; None where there is none.

    A date is compared with the answer's own Date where it has one, so that clocks need not agree.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    now = _http_date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        return utc(parsedate_to_datetime(text))
    except (ValueError, IndexError, OverflowError):
        return None
