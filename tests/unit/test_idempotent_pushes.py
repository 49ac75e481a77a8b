"""A push with an Idempotency-Key takes effect once, over a ledger in memory."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import IdempotencyKeyReusedError, InvalidRequestError, StillRunningError, StoreUnavailableError
from app.pushing.keys import KEPT, Claim, ClaimState, Held, IdempotentPushes, NothingDoneError


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test, run on an event loop of its own, for a minute at most."""

    @functools.wraps(test)
    def run_it() -> None:
        # pytest-timeout raises in whatever runs, and asyncio keeps what it raises in a task that nobody waits for.
        asyncio.run(asyncio.wait_for(test(), 60))

    return run_it


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Entry:
    fingerprint: str
    stamp: int
    created: datetime
    claimed: datetime | None
    renewed: datetime
    answer: bytes | None = None


class Memory:
    """Implements app.pushing.keys.Ledger."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}
        self.broken = False
        self.expired = asyncio.Event()
        self.asked = asyncio.Event()
        """Somebody has asked for a key that another is at work on."""
        self.refused, self.renewed = asyncio.Event(), asyncio.Event()
        """A renewal has failed; claims have been renewed."""
        self.loop = asyncio.get_running_loop()

    def claim(self, scope: str, key: str, fingerprint: str, stamp: int, now: datetime, stale: datetime) -> Claim:
        if self.broken:
            raise StoreUnavailableError("the ledger is away")
        entry = self.entries.get((scope, key))
        if entry is None:
            self.entries[scope, key] = Entry(fingerprint, stamp, now, now, now)
            return Claim(ClaimState.MINE, stamp, claimed_at=now)
        if entry.fingerprint != fingerprint:
            return Claim(ClaimState.REUSED)
        if entry.answer is not None:
            return Claim(ClaimState.ANSWERED, entry.stamp, entry.answer)
        if entry.claimed is None or entry.renewed < stale:
            entry.claimed = entry.renewed = now
            return Claim(ClaimState.TAKEN_OVER, entry.stamp, claimed_at=now)
        self.asked.set()
        return Claim(ClaimState.RUNNING)

    def renew(self, held: Collection[Held], now: datetime) -> None:
        if self.broken:
            self.loop.call_soon_threadsafe(self.refused.set)
            raise StoreUnavailableError("the ledger is away")
        for scope, key, claim in held:
            entry = self.entries[scope, key]
            if entry.claimed == claim.claimed_at and entry.answer is None:
                entry.renewed = now
        self.loop.call_soon_threadsafe(self.renewed.set)

    def finish(self, scope: str, key: str, claim: Claim, answer: bytes) -> None:
        if self.broken:
            raise StoreUnavailableError("the ledger is away")
        self._mine(scope, key, claim).answer = answer

    def release(self, scope: str, key: str, claim: Claim) -> None:
        self._mine(scope, key, claim)
        del self.entries[scope, key]

    def abandon(self, scope: str, key: str, claim: Claim) -> None:
        self._mine(scope, key, claim).claimed = None

    def _mine(self, scope: str, key: str, claim: Claim) -> Entry:
        entry = self.entries[scope, key]
        assert entry.claimed == claim.claimed_at
        return entry

    def expire(self, before: datetime) -> int:
        old = [name for name, entry in self.entries.items() if entry.created < before]
        for name in old:
            del self.entries[name]
        self.expired.set()
        return len(old)


async def run(work: Callable[[], Any]) -> Any:
    await asyncio.sleep(0)
    return work()


class Work:
    """Counts how often it was done; waits where it is told to, and fails with the next of its errors."""

    def __init__(self, *errors: Exception) -> None:
        self.claims: list[Claim] = []
        self.begun = asyncio.Event()
        self.errors = list(errors)
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, claim: Claim) -> bytes:
        self.claims.append(claim)
        self.begun.set()
        await self.go.wait()
        if self.errors:
            raise self.errors.pop(0)
        return b"answer %d" % len(self.claims)


def pushes(
    ledger: Memory, seconds: float = 5.0, clock: Callable[[], datetime] = lambda: NOW, beat: float = 3.0
) -> IdempotentPushes:
    return IdempotentPushes(ledger, run, clock, timedelta(seconds=beat), timedelta(seconds=seconds))


def once(pushes: IdempotentPushes, work: Work, fingerprint: str = "f", stamp: int = 1) -> Awaitable[bytes]:
    return pushes.once("source", "key", fingerprint, stamp, work)


@in_loop
async def test_the_same_key_gives_the_same_answer_without_a_second_write() -> None:
    ledger, work = Memory(), Work()
    assert [await once(pushes(ledger), work) for _ in range(3)] == [b"answer 1"] * 3
    assert work.claims == [Claim(ClaimState.MINE, 1)]
    with pytest.raises(IdempotencyKeyReusedError):
        await once(pushes(ledger), work, fingerprint="another")


@in_loop
async def test_what_was_done_is_answered_although_the_answer_cannot_be_kept() -> None:
    ledger, work = Memory(), Work()
    work.go.clear()
    asked = asyncio.ensure_future(once(pushes(ledger), work))
    await work.begun.wait()
    ledger.broken = True
    work.go.set()
    assert await asked == b"answer 1"
    ledger.broken = False
    assert ledger.claim("source", "key", "f", 9, NOW + HOUR, NOW + HOUR) == Claim(ClaimState.TAKEN_OVER, 1)


@in_loop
async def test_of_concurrent_twins_one_is_written_and_both_are_answered() -> None:
    ledger, work = Memory(), Work()
    work.go.clear()
    twins = [asyncio.ensure_future(once(pushes(ledger), work)) for _ in range(3)]
    await work.begun.wait()
    work.go.set()
    assert await asyncio.gather(*twins) == [b"answer 1"] * 3
    assert len(work.claims) == 1


@in_loop
async def test_a_twin_is_not_waited_for_for_ever() -> None:
    ledger = Memory()
    ledger.claim("source", "key", "f", 1, NOW, NOW)
    with pytest.raises(StoreUnavailableError, match="still being written"):
        await once(pushes(ledger, seconds=0.01), Work())


@in_loop
async def test_after_a_push_of_which_nothing_was_done_the_key_is_free() -> None:
    ledger, work = Memory(), Work(NothingDoneError(InvalidRequestError("a row was rejected")))
    with pytest.raises(InvalidRequestError, match="a row was rejected"):
        await once(pushes(ledger), work)
    assert await once(pushes(ledger), work, fingerprint="mended", stamp=2) == b"answer 2"
    assert [claim.state for claim in work.claims] == [ClaimState.MINE, ClaimState.MINE]


@in_loop
async def test_a_retry_of_a_half_done_push_takes_over_with_its_stamp_and_keeps_the_key() -> None:
    ledger = Memory()
    work = Work(StoreUnavailableError("online is away"), NothingDoneError(StoreUnavailableError("still away")))
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await once(pushes(ledger), work, stamp=5)
    with pytest.raises(IdempotencyKeyReusedError):
        await once(pushes(ledger), work, fingerprint="another")


@in_loop
async def test_what_goes_on_after_its_answer_is_not_taken_over_before_it_ends() -> None:
    ledger, ended = Memory(), asyncio.get_running_loop().create_future()
    work = Work(StillRunningError("too slow", ended))
    keys = pushes(ledger)
    with pytest.raises(StillRunningError):
        await once(keys, work)
    twin = asyncio.ensure_future(once(pushes(ledger), work))
    asked = asyncio.ensure_future(ledger.asked.wait())
    await asyncio.wait([twin, asked], return_when=asyncio.FIRST_COMPLETED)
    assert asked.done()
    assert len(work.claims) == 1
    ended.set_result(None)
    assert await twin == b"answer 2"
    assert [claim.state for claim in work.claims] == [ClaimState.MINE, ClaimState.TAKEN_OVER]


@in_loop
async def test_what_is_at_work_is_renewed_and_so_not_taken_over_however_long_it_waits() -> None:
    ledger, work, later = Memory(), Work(), NOW
    work.go.clear()
    keys = pushes(ledger, clock=lambda: later, beat=0.01)
    beating = asyncio.create_task(keys.keep_renewing())
    asked = asyncio.ensure_future(once(keys, work))
    await work.begun.wait()
    later = NOW + HOUR
    # One that fails is followed by the next.
    ledger.broken = True
    await ledger.refused.wait()
    ledger.broken = False
    while ledger.entries["source", "key"].renewed != later:
        ledger.renewed.clear()
        await ledger.renewed.wait()
    with pytest.raises(StoreUnavailableError, match="still being written"):
        await once(pushes(ledger, seconds=0.01, clock=lambda: NOW + HOUR), work)
    work.go.set()
    assert await asked == b"answer 1"
    assert len(work.claims) == 1
    beating.cancel()


@in_loop
async def test_a_claim_that_nobody_renews_is_taken_over_after_five_beats() -> None:
    ledger, work = Memory(), Work()
    ledger.claim("source", "key", "f", 1, NOW, NOW)
    beat = timedelta(seconds=3)
    with pytest.raises(StoreUnavailableError, match="still being written"):
        await once(pushes(ledger, seconds=0.01, clock=lambda: NOW + 5 * beat), work)
    assert await once(pushes(ledger, clock=lambda: NOW + 5 * beat + timedelta(microseconds=1)), work) == b"answer 1"


@in_loop
async def test_a_claim_is_as_old_as_its_thread_and_not_as_the_wait_for_one() -> None:
    ledger, later = Memory(), NOW

    async def run_late(work: Callable[[], Any]) -> Any:
        nonlocal later
        later += HOUR
        return work()

    keys = IdempotentPushes(ledger, run_late, lambda: later, timedelta(seconds=3), timedelta(seconds=5))
    work = Work()
    work.go.clear()
    asked = asyncio.ensure_future(once(keys, work))
    await work.begun.wait()
    assert ledger.entries["source", "key"].renewed == NOW + HOUR
    work.go.set()
    await asked


@in_loop
async def test_what_is_begun_is_renewed_although_whoever_asked_is_cut_off() -> None:
    """It is written all the same, while the server ends."""
    work = Work()
    work.go.clear()
    keys = pushes(Memory())
    asked = asyncio.ensure_future(once(keys, work))
    await work.begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert len(keys._held) == 1


@in_loop
async def test_what_has_ended_is_renewed_no_more() -> None:
    """Its claim may be somebody else's by then; what goes on after its answer has not ended."""
    ledger, ended = Memory(), asyncio.get_running_loop().create_future()
    keys = pushes(ledger)
    await once(keys, Work())
    assert not keys._held
    with pytest.raises(StillRunningError):
        await keys.once("source", "another", "f", 1, Work(StillRunningError("too slow", ended)))
    assert len(keys._held) == 1
    ended.set_result(None)
    await asyncio.sleep(0)
    assert not keys._held


@in_loop
async def test_a_ledger_that_is_away_lets_nothing_be_written() -> None:
    ledger, work = Memory(), Work()
    ledger.broken = True
    with pytest.raises(StoreUnavailableError):
        await once(pushes(ledger), work)
    assert work.claims == []


@in_loop
async def test_old_keys_are_forgotten_in_the_background() -> None:
    ledger = Memory()
    ledger.claim("source", "old", "f", 1, NOW - KEPT - timedelta(seconds=1), NOW)
    ledger.claim("source", "young", "f", 1, NOW - KEPT, NOW)
    task = asyncio.create_task(pushes(ledger).keep_expiring(0))
    await ledger.expired.wait()
    task.cancel()
    assert list(ledger.entries) == [("source", "young")]
