"""The monitor: one process of a deployment probes, all of them show what it has found.

Who probes holds a lease; workers are preferred to servers, so that no request waits for the interpreter while a sample
is decoded. The holder's death is noticed when the lease ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType

import structlog

from app.errors import FreshetError
from app.freshness.board import FreshnessBoard
from app.freshness.ports import Leases, Snapshots
from app.freshness.snapshot import FreshnessSnapshot
from app.threads import finish_in_thread, in_thread

log = structlog.get_logger(__name__)

NAME = "freshness"
"""Of the lease and of the snapshot."""
SERVER, WORKER = 0, 1
"""Ranks of the lease."""

_TERMS = 3
_MOST_SECONDS_BETWEEN_LOOKS = 5.0
_PATIENCE_AT_THE_END = 1.0

Look = Callable[[FreshnessSnapshot | None], FreshnessSnapshot]
"""One probe, given the last snapshot. Blocks; raises whatever it likes."""


class _Trouble(contextlib.AbstractContextManager[None]):
    """Swallows what goes wrong inside, for the next time may succeed; says so once, and once when it is over."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._reason = ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception | None):
            return False
        reason = "" if error is None else error.detail if isinstance(error, FreshetError) else type(error).__name__
        if reason and reason != self._reason:
            log.warning(f"{self._what} has failed; what was found before is shown, and ages", reason=reason)
        elif self._reason and not reason:
            log.info(f"{self._what} is there again")
        self._reason = reason
        return True


class Monitor:
    """Takes the lease where it can, probes where it has it, and keeps the board at the last snapshot.

    What fails is logged once and tried again; meanwhile the last snapshot stays on the board, and ages.
    """

    def __init__(
        self,
        board: FreshnessBoard,
        look: Look,
        leases: Leases,
        snapshots: Snapshots,
        rank: int,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._look = look
        self._leases = leases
        self._snapshots = snapshots
        self._rank = rank
        self._elapsed = elapsed
        self._holder = str(uuid.uuid4())
        self._seconds = board.interval.total_seconds()
        self._pause = min(self._seconds, _MOST_SECONDS_BETWEEN_LOOKS)
        self._due = self._elapsed()
        self._held = False
        self._probing, self._showing = _Trouble("freshness probe"), _Trouble("last freshness snapshot")
        self._stopping = threading.Event()

    def step(self) -> None:
        """Probe if it is time and this process' turn, and bring the board up to date. Blocks; never raises."""
        if self._elapsed() >= self._due:
            with self._probing:
                self._take_turn()
        with self._showing:
            if (found := self._snapshots.latest(NAME)) is not None:
                self._board.snapshot = FreshnessSnapshot.from_json(found[1])

    def _take_turn(self) -> None:
        self._held = self._leases.take(NAME, self._holder, _TERMS * self._board.interval, self._rank)
        if not self._held:
            return
        # By the clock of the lease, not from the end of this one: a store that hangs must not make probes rarer.
        self._due = self._elapsed() + self._seconds
        try:
            snapshot = self._look(self._board.snapshot)
        except Exception:
            # It may be this process alone that cannot reach the store.
            self.give_back()
            raise
        if not self._stopping.is_set():
            self._snapshots.publish(NAME, snapshot.to_json(), snapshot.taken_at)

    def give_back(self) -> None:
        """Let another process probe at once. Blocks; never raises: a lease that is not given back ends by itself."""
        if self._held:
            with contextlib.suppress(Exception):
                self._leases.give_back(NAME, self._holder)
            self._held = False

    def _seconds_to_wait(self) -> float:
        to_the_next = self._due - self._elapsed()
        return min(self._pause, to_the_next) if to_the_next > 0 else self._pause

    async def run(self) -> None:
        """Step every few seconds, in threads, until cancelled."""
        while True:
            await finish_in_thread(self.step)
            await asyncio.sleep(self._seconds_to_wait())

    async def close(self) -> None:
        """Give the lease back, if the database answers soon; after `run` has ended, before the stores are closed."""
        self._stopping.set()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(in_thread(self.give_back), _PATIENCE_AT_THE_END)

    def stop(self) -> None:
        """Let `run_until_stopped` end. For any thread."""
        self._stopping.set()

    def run_until_stopped(self, delay: float = 0.0) -> None:
        """The same as `run` for a thread that has nothing else to do; it begins after `delay` seconds."""
        if self._stopping.wait(delay):
            return
        while True:
            self.step()
            if self._stopping.wait(self._seconds_to_wait()):
                break
        self.give_back()
