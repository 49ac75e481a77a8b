"""Every entity that a feature view knows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa

from app.domain import Catalog
from app.errors import NotFoundError
from app.exports.engine import open_engine
from app.exports.join import relation
from app.exports.ports import OfflineHistory, Scope
from app.exports.sql import quoted
from app.planning.selection import PlannedView


def entities_of(
    catalog: Catalog, name: str, history: OfflineHistory, memory: int, until: datetime, folder: Path
) -> pa.Table:
    """The join keys of all entities of a view with a row up to `until`, in order, one row each.

    Raises NotFoundError for a view that the registry lacks, and what OfflineHistory.attach raises.
    """
    view = catalog.views.get(name)
    if view is None:
        raise NotFoundError(f"There is no feature view {name}. Known: {', '.join(catalog.views) or 'none yet'}")
    keys = tuple(field.name for field in view.join_keys)
    planned = PlannedView(view, (), keys, view.name)
    shown = ", ".join(f"k{place} AS {quoted(key)}" for place, key in enumerate(keys))
    there = " AND ".join(f"k{place} IS NOT NULL" for place in range(len(keys)))
    with (
        open_engine(memory, folder / "spill", threads=1) as engine,
        history.attach(engine, relation(0), planned, Scope(None, until)),
    ):
        if not keys:
            return pa.table({})
        query = f"SELECT DISTINCT {shown} FROM {relation(0)} WHERE {there} ORDER BY ALL"  # noqa: S608
        return engine.sql(query).to_arrow_table()
