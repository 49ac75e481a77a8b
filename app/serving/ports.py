"""What serving needs of an online store: a read that is prepared once per plan, and answers in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.planning.selection import ViewRead


# Not frozen, as little else is here: making a frozen one costs three times as much, and a small read makes five.
@dataclass(slots=True)
class ViewColumns:
    """What a store holds of one view for the rows of one read.

    `moments` are event timestamps in microseconds since 1970 (UTC), None where there is no row. `values` are native
    Python values by feature, then row; `gaps` are, by feature, the positions at which a value is None, because there is
    no row or because it is null.
    """

    moments: list[int | None]
    values: list[list[Any]]
    gaps: list[list[int]]


@dataclass(slots=True)
class ViewCells:
    """What a store holds for one row: `moments` by view, as in ViewColumns, and `values` of all views one after the
    other, each None where there is no row or where it is null."""

    moments: list[int | None]
    values: list[Any]


class PreparedRead(Protocol):
    """The read of one plan: everything that does not depend on the request has been worked out."""

    async def fetch(self, entities: Mapping[str, Sequence[Any]], rows: int) -> list[ViewColumns]:
        """One entry per view of the plan, in its order; rows in the order of the request, duplicates kept.

        `entities` are native values by request column, each of length `rows`. Raises StoreUnavailableError within the
        deadline of the settings.
        """

    async def fetch_row(self, entities: Mapping[str, Sequence[Any]]) -> ViewCells:
        """The same for a single row. Stores have a shorter way to it, or inherit this one."""
        views = await self.fetch(entities, 1)
        cells = [column[0] for columns in views for column in columns.values]
        return ViewCells([columns.moments[0] for columns in views], cells)


class OnlineReader(Protocol):
    """An online store as serving sees it."""

    def prepare(self, views: Sequence[ViewRead]) -> PreparedRead:
        """Work out the read of these views. Raises NotServableError for a key that Feast cannot serialize."""
