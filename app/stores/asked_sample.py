"""Samples of online stores that are not ours: Feast's interface names no entities, so they are asked for some."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from app.domain import EntityKey, ViewSpec
from app.errors import NotFoundError, StoreUnavailableError
from app.freshness.ports import ViewSample, WriteMark
from app.threads import DaemonThreads

_AT_ONCE = 100
"""Entities of one read: requests that wait for the same connection are soon served."""


class AskedStore(Protocol):
    """An online store that tells moments of entities: app.stores.asked_store.AskedStore."""

    def moments(self, view: ViewSpec, keys: Sequence[EntityKey]) -> list[int | None]:
        """The event timestamps of these entities' rows, None for one without a row. May hang; raises NotFoundError
        and StoreUnavailableError."""


class Entities(Protocol):
    """Names entities to ask about: app.stores.asked_entities.AskedEntities."""

    def keep(self, views: Sequence[ViewSpec]) -> None:
        """Forget all other views."""

    def of(self, view: ViewSpec, entities: int) -> Sequence[EntityKey]:
        """At most so many entities. Blocks, for a bounded time; never raises."""


class AskedSampler:
    """Implements OnlineSampler of app.freshness.ports. For one thread at a time.

    Feast's stores have no deadlines, so they are read in a daemon thread: who asks waits `seconds` and no longer, and
    asks nothing more of a store that hangs until it has answered. What half of the time does not suffice for is left
    out, and comes first the next time.
    """

    def __init__(
        self,
        online: AskedStore,
        entities: Entities,
        marks: Callable[[Sequence[ViewSpec]], Mapping[str, WriteMark]],
        seconds: float,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """`marks` gives those of this process, as the port does."""
        self._online = online
        self._entities = entities
        self._marks = marks
        self._seconds = seconds
        self._elapsed = elapsed
        self._threads = DaemonThreads("sample", 1)
        self._running: Future[tuple[dict[str, ViewSample], set[str]]] | None = None
        self._late: set[str] = set()
        """The names of the views that the last look had no time for."""

    def sample(self, views: Sequence[ViewSpec], entities: int) -> dict[str, ViewSample]:
        """See the port. A view is left out where nobody names entities of it, or its table cannot be read; one of which
        none of the named entities is online is an empty sample that is not whole."""
        if self._running is not None and not self._running.done():
            raise StoreUnavailableError("The online store still has not answered the last look")
        first = sorted(views, key=lambda view: view.name not in self._late)
        until = self._elapsed() + self._seconds / 2
        self._running = self._threads.submit(lambda: self._ask(first, entities, until))
        try:
            found, self._late = self._running.result(self._seconds)
        except TimeoutError:
            message = f"The online store did not answer within {self._seconds:g} s"
            raise StoreUnavailableError(message) from None
        return found

    def marks(self, views: Sequence[ViewSpec]) -> Mapping[str, WriteMark]:
        """See the port: only what this process has written."""
        return self._marks(views)

    def _ask(self, views: Sequence[ViewSpec], entities: int, until: float) -> tuple[dict[str, ViewSample], set[str]]:
        """What was found, and the names of the views that there was no time for."""
        self._entities.keep(views)
        found: dict[str, ViewSample] = {}
        late: set[str] = set()
        failed: StoreUnavailableError | None = None
        for view in views:
            keys = self._entities.of(view, entities) if self._elapsed() < until else None
            if keys is not None and not keys:
                continue
            try:
                sample = None if keys is None else self._read(view, keys, until)
            except NotFoundError:  # it has left the registry meanwhile
                continue
            except StoreUnavailableError as error:  # perhaps of this view's table alone
                failed = error
                continue
            if sample is None:
                late.add(view.name)
            else:
                found[view.name] = sample
        if failed is not None and not found:
            raise failed
        return found, late

    def _read(self, view: ViewSpec, keys: Sequence[EntityKey], until: float) -> ViewSample | None:
        """None where the time was too short to meet a row, and also to say that there is none."""
        there: dict[EntityKey, int] = {}
        for start in range(0, len(keys), _AT_ONCE):
            if self._elapsed() >= until:
                if not there:
                    return None
                break
            some = keys[start : start + _AT_ONCE]
            moments = zip(some, self._online.moments(view, some), strict=True)
            there.update((key, moment) for key, moment in moments if moment is not None)
        # Only a view without join keys is known to have no other entities than the one that was asked for.
        return ViewSample(list(there), list(there.values()), whole=not view.join_keys)
