"""The side of serving: entities read one at a time, as most requests ask for them, by the code that answers them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from app.domain import Catalog
from app.errors import TransformError
from app.serving.plan import ServingPlan
from app.serving.planner import compile_features
from app.serving.ports import OnlineReader
from app.serving.request import OnlineRequest
from app.serving.row import read_row
from app.serving.shape import PRESENT
from app.skew.compare import Side
from app.skew.entities import Entity
from app.threads import DaemonThreads

T = TypeVar("T")
Sides: TypeAlias = list[Side | TransformError]
Run: TypeAlias = Callable[[Coroutine[Any, Any, Sides]], Sides]
"""Runs a coroutine in the event loop that the online store's connections belong to, and waits for it."""


class OnlineSide:
    """Reads features as they are served. In batches a function that looks at its neighbours would give other results
    than callers see, who mostly ask for one entity."""

    def __init__(self, reader: OnlineReader, run: Run) -> None:
        self._reader = reader
        self._run = run
        # Of its own, as a function of the user's may take as long as it likes.
        self._threads = DaemonThreads("skew-on-demand", 1)

    def read(self, catalog: Catalog, references: Sequence[str], entities: Sequence[Entity], at: datetime) -> Sides:
        """One side per entity, its features in the order of the references, or why its on-demand features cannot be
        computed. Blocks.

        `moment` is that of the first view that is read. Raises StoreUnavailableError, NotServableError, NotFoundError.
        """
        plan = compile_features(catalog, references, self._reader)
        return self._run(self._all(plan, entities, at))

    def close(self) -> None:
        """Let no more be computed."""
        self._threads.close()

    async def _all(self, plan: ServingPlan, entities: Sequence[Entity], at: datetime) -> Sides:
        return [await self._one(plan, entity, at) for entity in entities]

    async def _one(self, plan: ServingPlan, entity: Entity, at: datetime) -> Side | TransformError:
        request = OnlineRequest({name: [entity[name]] for name in plan.join_keys}, {}, 1)
        try:
            row = await read_row(plan, request, at, self._threads)
        except TransformError as error:  # one that trips over a null must not hide the others
            return error
        return Side(row.moments[0] if row.moments else None, row.statuses or [PRESENT] * len(row.values), row.values)
