"""Idempotency: a push with an Idempotency-Key takes effect once, however often and wherever it is sent.

The key is claimed in a ledger that all servers share before anything is written, and the answer kept beside it. Whoever
is at work renews its claim. One whose server died, and which is renewed no more, is taken over by a retry, which is
given the same created timestamps: what the first try wrote online is then a duplicate, and what it wrote offline can be
recognised.
"""

from __future__ import annotations

import asyncio
import enum
import functools
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import structlog

from app.errors import FreshetError, IdempotencyKeyReusedError, StillRunningError, StoreUnavailableError
from app.threads import in_thread

log = structlog.get_logger(__name__)

T = TypeVar("T")

KEPT = timedelta(hours=24)
"""How long the answer to a key is remembered."""
_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.5
"""Seconds between looks at a claim of somebody else, twice as long each time: a dead server may leave many behind."""
_BEATS = 5
"""After so many beats without a renewal the server that has a claim is taken for dead, by the clock of whoever asks."""


class ClaimState(enum.Enum):
    """What a ledger says of a key."""

    MINE = "mine"
    """Nobody has it: whoever asked is to do the work."""
    TAKEN_OVER = "taken over"
    """The same, but somebody began before and was not heard of again: part of it may have been done."""
    RUNNING = "running"
    """Somebody else is at it."""
    ANSWERED = "answered"
    REUSED = "reused"
    """It came with another request."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`stamp` is the first created timestamp of the work, in microseconds since 1970; `answer` that of ANSWERED;
    `claimed_at`, of one that is MINE or TAKEN_OVER, tells it from those of whoever takes it over."""

    state: ClaimState
    stamp: int = 0
    answer: bytes = b""
    claimed_at: datetime | None = field(default=None, compare=False)


Held = tuple[str, str, Claim]
"""Scope, key, and the claim of whoever is at work on it."""


class Ledger(Protocol):
    """Where claims are kept, shared by all servers of a project. Blocks; raises StoreUnavailableError."""

    def claim(self, scope: str, key: str, fingerprint: str, stamp: int, now: datetime, stale: datetime) -> Claim:
        """Claim a key of `scope` for a request with this fingerprint; a running claim that was last renewed before
        `stale` is taken over, with the stamp that it has."""

    def renew(self, held: Collection[Held], now: datetime) -> None:
        """Let these claims be known to be at work still."""

    def finish(self, scope: str, key: str, claim: Claim, answer: bytes) -> None:
        """Keep the answer of a claim. Nothing happens, here and below, where somebody else has taken it over."""

    def release(self, scope: str, key: str, claim: Claim) -> None:
        """Forget a claim of which nothing was done."""

    def abandon(self, scope: str, key: str, claim: Claim) -> None:
        """Let the next one who asks take the claim over at once."""

    def expire(self, before: datetime) -> int:
        """Forget what was claimed before; how many keys that were."""


class NothingDoneError(Exception):
    """Wraps the error of a work of which certainly nothing was done, so that its key may be used again."""

    def __init__(self, error: FreshetError) -> None:
        super().__init__(error.detail)
        self.error = error


class IdempotentPushes:
    """Does the work of each key once."""

    def __init__(
        self,
        ledger: Ledger,
        run: Callable[[Callable[[], T]], Awaitable[T]],
        clock: Callable[[], datetime],
        beat: timedelta,
        patience: timedelta,
    ) -> None:
        """`run` runs what blocks in a thread. A claim is renewed at every `beat`, the same on all servers; so long as
        `patience` is a twin waited for."""
        self._ledger = ledger
        self._run: Callable[[Callable[[], object]], Awaitable[object]] = run  # type: ignore[assignment]
        self._clock = clock
        self._beat = beat
        self._patience = patience
        self._held: dict[object, Held] = {}
        """By a token of each."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def once(
        self, scope: str, key: str, fingerprint: str, stamp: int, work: Callable[[Claim], Awaitable[bytes]]
    ) -> bytes:
        """The answer of `work`, or the one that it gave before under the same key.

        Raises IdempotencyKeyReusedError where the key came with another request, StoreUnavailableError where the ledger
        or a twin does not answer in time, and what `work` raises: after NothingDoneError, which is unwrapped, the key
        is free again; after any other error a retry takes the work over, but not before it has ended.
        """
        claim = await self._claim(scope, key, fingerprint, stamp)
        if claim.state is ClaimState.ANSWERED:
            return claim.answer
        token = object()
        self._held[token] = (scope, key, claim)
        try:
            answer = await self._worked(scope, key, claim, work)
        except StillRunningError as late:
            late.ended.add_done_callback(lambda _: self._held.pop(token))
            raise
        except asyncio.CancelledError:
            # The server ends, and what was begun is written all the same: renewed until there is no server.
            raise
        except BaseException:
            del self._held[token]
            raise
        del self._held[token]
        return answer

    async def _worked(self, scope: str, key: str, claim: Claim, work: Callable[[Claim], Awaitable[bytes]]) -> bytes:
        """The answer of `work`, and in the ledger what became of the claim."""
        try:
            answer = await work(claim)
        except NothingDoneError as nothing:
            # Somebody before may have done a part: then the key stays that of this request.
            forget = self._ledger.release if claim.state is ClaimState.MINE else self._ledger.abandon
            await self._run(lambda: forget(scope, key, claim))
            raise nothing.error from nothing.__cause__
        except StillRunningError as late:
            # Whoever took it over now would append the same rows beside it.
            task = asyncio.create_task(self._abandon_after(late.ended, scope, key, claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            raise
        except Exception:
            await self._run(lambda: self._ledger.abandon(scope, key, claim))
            raise
        try:
            await self._run(lambda: self._ledger.finish(scope, key, claim, answer))
        except StoreUnavailableError as error:
            # The work is done, and that is what was asked; a retry will find it done once the claim is stale.
            log.warning("the answer to an idempotency key is not kept", reason=error.detail)
        return answer

    async def _abandon_after(self, ended: asyncio.Future[Any], scope: str, key: str, claim: Claim) -> None:
        await asyncio.wait([ended])
        try:
            await self._run(lambda: self._ledger.abandon(scope, key, claim))
        except FreshetError as error:
            log.warning("an idempotency key cannot be taken over yet", reason=error.detail)

    async def _claim(self, scope: str, key: str, fingerprint: str, stamp: int) -> Claim:
        """The claim once it is no longer somebody else's."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience.total_seconds()
        look = _FIRST_LOOK
        while True:
            claim = await self._run(functools.partial(self._claim_now, scope, key, fingerprint, stamp))
            assert isinstance(claim, Claim)  # noqa: S101 - what the ledger returns
            if claim.state is ClaimState.REUSED:
                raise IdempotencyKeyReusedError(
                    "This Idempotency-Key came with another request before; use a new one for each request"
                )
            if claim.state is not ClaimState.RUNNING:
                return claim
            if loop.time() >= deadline:
                raise StoreUnavailableError("Another request with this Idempotency-Key is still being written")
            await asyncio.sleep(min(look, deadline - loop.time()))
            look = min(2 * look, _LONGEST_LOOK)

    def _claim_now(self, scope: str, key: str, fingerprint: str, stamp: int) -> Claim:
        # The time of the thread that it has waited for: a claim must not be old when it is made.
        now = self._clock()
        return self._ledger.claim(scope, key, fingerprint, stamp, now, now - _BEATS * self._beat)

    async def keep_renewing(self) -> None:
        """Renew what is at work since the last beat, at every beat, until cancelled."""
        while True:
            before = set(self._held)
            await asyncio.sleep(self._beat.total_seconds())
            # Most pushes take some milliseconds: their claims are never renewed.
            if held := [self._held[token] for token in before & self._held.keys()]:
                try:
                    # Not in a thread of the pushes, which may all wait for a store. One that hangs is left behind: the
                    # next may have a connection that somebody answers.
                    async with asyncio.timeout(self._beat.total_seconds()):
                        await in_thread(functools.partial(self._ledger.renew, held, self._clock()))
                except Exception as error:  # whatever it is, the next beat may come in time
                    reason = error.detail if isinstance(error, FreshetError) else type(error).__name__
                    log.warning("idempotency keys at work cannot be renewed", reason=reason)

    async def keep_expiring(self, seconds: float) -> None:
        """Forget old keys every so often, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._run(lambda: self._ledger.expire(self._clock() - KEPT))
            except FreshetError as error:
                log.warning("old idempotency keys are not forgotten yet", reason=error.detail)
