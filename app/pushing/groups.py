"""Group commit: pushes that come while others are being written are written together.

A commit costs about the same for one row as for a thousand. So the first push of a push source is written at once, and
what comes meanwhile becomes the next group; under load the groups grow by themselves, and nobody ever waits for one to
fill up.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from app.errors import FreshetError, TooBusyError
from app.pushing.grouped import GroupedPush, PushResult
from app.pushing.schema import PushSchema
from app.pushing.writing import GroupWriter

_MOST_ROWS = 10_000
_GROUPS_AT_ONCE = 2
"""Of one push source: while one waits for a store, the next is being put together."""


@dataclass(eq=False)
class _Lane:
    """The pushes of one push source that wait, each with the future of whoever waits for it."""

    schema: PushSchema
    waiting: deque[tuple[GroupedPush, asyncio.Future[PushResult]]] = field(default_factory=deque)
    running: int = 0


class PushGroups:
    """Puts pushes together and writes them in threads. Belongs to one event loop."""

    def __init__(
        self,
        writer: GroupWriter,
        run: Callable[[Callable[[], None]], Awaitable[None]],
        most_rows_waiting: int,
    ) -> None:
        """`run` runs what blocks in a thread, and raises StoreUnavailableError where that takes too long; no push is
        taken on while `most_rows_waiting` rows wait (FRESHET_PUSH_QUEUE_ROWS)."""
        self._writer = writer
        self._run = run
        self._most = most_rows_waiting
        self._rows = 0
        self._lanes: dict[PushSchema, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, schema: PushSchema, push: GroupedPush) -> PushResult:
        """What became of the rows of the push. They are written although whoever asks goes away.

        Raises TooBusyError when too many rows wait already, StoreUnavailableError, and InvalidRequestError for an
        atomic push of which the offline store cannot keep a row.
        """
        rows = len(push.checked)
        if self._rows and self._rows + rows > self._most:
            raise TooBusyError(f"{self._rows} pushed rows wait to be written already (FRESHET_PUSH_QUEUE_ROWS)")
        self._writer.require_room(schema, push)
        lane = self._lanes.get(schema)
        if lane is None:
            lane = self._lanes[schema] = _Lane(schema)
        answer: asyncio.Future[PushResult] = asyncio.get_running_loop().create_future()
        lane.waiting.append((push, answer))
        self._rows += rows
        if lane.running < _GROUPS_AT_ONCE:
            lane.running += 1
            task = asyncio.create_task(self._drain(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _drain(self, lane: _Lane) -> None:
        """Write groups until none waits."""
        try:
            while lane.waiting:
                group = [lane.waiting.popleft()]
                rows = len(group[0][0].checked)
                while lane.waiting and rows + len(lane.waiting[0][0].checked) <= _MOST_ROWS:
                    group.append(lane.waiting.popleft())
                    rows += len(group[-1][0].checked)
                await self._write(lane.schema, group)
                self._rows -= rows
        finally:
            lane.running -= 1
            if not lane.running and not lane.waiting:
                self._lanes.pop(lane.schema, None)

    async def _write(self, schema: PushSchema, group: list[tuple[GroupedPush, asyncio.Future[PushResult]]]) -> None:
        pushes = [push for push, _ in group]
        failure: BaseException | None = None
        try:
            await self._run(partial(self._writer.write, schema, pushes))
        except BaseException as error:
            failure = error
        for push, answer in group:
            failed = failure or push.error
            if answer.done():  # whoever asked has gone
                continue
            if failed is not None:
                # A new one each: an exception keeps the frames of everywhere it was raised.
                answer.set_exception(copy.copy(failed) if isinstance(failed, FreshetError) else failed)
            else:
                answer.set_result(push.result())
        if isinstance(failure, asyncio.CancelledError):
            raise failure

    async def finish(self) -> None:
        """Wait for what has begun."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
