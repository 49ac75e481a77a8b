"""Reading rows from a store as serving does, for tests that think in rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.domain import EntityKey, OnlineRow, ViewSpec
from app.planning.selection import ViewRead
from app.serving.ports import ViewColumns
from app.stores.online import FeastOnlineStore

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_rows(
    store: FeastOnlineStore, view: ViewSpec, keys: Sequence[EntityKey], features: Sequence[str]
) -> list[OnlineRow | None]:
    """One entry per key, in order; None where the store has no row. Over connections of its own. One key is read in
    both ways, which must agree."""
    names = tuple(field.name for field in view.join_keys)
    columns = zip(*(key.values for key in keys), strict=True)
    entities = dict(zip(names, columns, strict=True))

    async def fetch() -> list[ViewColumns]:
        prepared = store.prepare([ViewRead(view, tuple(features), names)])
        try:
            found = await prepared.fetch(entities, len(keys))
            if len(keys) == 1:
                row = await prepared.fetch_row(entities)
                assert (row.moments, row.values) == (found[0].moments, [column[0] for column in found[0].values])
            return found
        finally:
            await store.close_reads()

    (found,) = asyncio.run(fetch())
    return [
        None
        if moment is None
        else OnlineRow(_EPOCH + timedelta(microseconds=moment), dict(zip(features, row, strict=True)))
        for moment, row in zip(found.moments, zip(*found.values, strict=True), strict=True)
    ]
