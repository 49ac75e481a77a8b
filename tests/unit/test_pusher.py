"""Pushing over stores in memory: one offline row however many views, offline before online, stamps that increase."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.domain import Catalog, PushOutcome, PushTarget, ViewSpec
from app.errors import NotFoundError, NotServableError, StoreUnavailableError
from app.pushing.batch import RowBatch
from app.pushing.due import DueRows
from app.pushing.grouped import GroupedPush, PushResult
from app.pushing.push import Pusher
from app.pushing.writing import GroupWriter
from tests.unit.catalogs import catalog, profile

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOTH, ONLINE = PushTarget.ONLINE_AND_OFFLINE, PushTarget.ONLINE

second = dataclasses.replace(profile, name="second")
hidden = dataclasses.replace(profile, name="hidden", online=False)


class Stores:
    """Both stores; remembers the order of what was written."""

    def __init__(self, online_is_down: bool = False) -> None:
        self.online_is_down = online_is_down
        self.log: list[str] = []
        self.created: list[int | None] = []

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        if self.online_is_down:
            raise StoreUnavailableError("down")
        self.log.append(f"online {view.name} {len(batch)}")
        return [PushOutcome.APPLIED if view.name == "profile" else PushOutcome.LATE] * len(batch)

    def append_batch(self, views: Sequence[ViewSpec], batch: RowBatch) -> None:
        self.log.append(f"offline {'+'.join(view.name for view in views)} {len(batch)}")
        self.created += batch.created

    def missing(self, views: Sequence[ViewSpec], batches: Sequence[RowBatch]) -> list[Sequence[int]]:
        return [range(len(batch)) for batch in batches]

    def pushing(self) -> Callable[[Catalog, str, Sequence[object], PushTarget], PushResult]:
        """What checks and writes a push."""
        writer = GroupWriter(self, self, DueRows(self, lambda: NOW), lambda: NOW)
        pusher = Pusher(writer, lambda: NOW, timedelta(minutes=5))

        def push(catalog: Catalog, push_source: str, rows: Sequence[object], target: PushTarget) -> PushResult:
            schema = pusher.schema(catalog, push_source)
            push = GroupedPush(asyncio.run(pusher.checked(schema, rows)), target)
            writer.write(schema, [push])
            if push.error is not None:
                raise push.error
            return pusher.counted(schema, push.result())

        return push


def source(*views: ViewSpec) -> Catalog:
    return dataclasses.replace(catalog(views=views), push_sources={"events": tuple(view.name for view in views)})


def row(**changes: object) -> dict[str, object]:
    return {"user_id": "u", "age": 1, "name": None, **changes}


def test_two_views_on_one_source_get_one_offline_row_each_pushed_row_and_offline_comes_first() -> None:
    stores = Stores()
    results = stores.pushing()(source(profile, second), "events", [row(), row(user_id="v")], BOTH)
    assert stores.log == ["offline profile+second 2", "online profile 2", "online second 2"]
    # Late in one view and applied in the other: applied.
    assert results.outcomes == [PushOutcome.APPLIED] * 2
    assert results.reasons == {}


def test_rows_without_a_created_timestamp_get_increasing_ones() -> None:
    stores = Stores()
    push = stores.pushing()
    for _ in range(3):
        push(source(profile), "events", [row(), row()], BOTH)
    assert stores.created == sorted({stamp for stamp in stores.created if stamp})
    assert len(stores.created) == 6


def test_a_view_that_is_not_kept_online_is_only_written_offline() -> None:
    stores = Stores()
    result = stores.pushing()(source(hidden), "events", [row()], BOTH)
    assert stores.log == ["offline hidden 1"]
    assert (result.outcomes, result.reasons) == ([PushOutcome.APPLIED], {})


@pytest.mark.parametrize(
    ("target", "says"),
    [(BOTH, "kept offline, and the server writes them online by itself"), (ONLINE, "may still be written")],
)
def test_an_online_store_that_is_down_says_what_was_kept(target: PushTarget, says: str) -> None:
    stores = Stores(online_is_down=True)
    with pytest.raises(StoreUnavailableError, match=says):
        stores.pushing()(source(profile), "events", [row()], target)
    assert stores.log == (["offline profile 1"] if target is BOTH else [])


def test_an_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="Known: events"):
        Stores().pushing()(source(profile), "nothing", [row()], BOTH)


def test_rows_for_the_online_store_alone_need_a_view_that_is_there() -> None:
    stores = Stores()
    writer = GroupWriter(stores, stores, DueRows(stores, lambda: NOW), lambda: NOW)
    pusher = Pusher(writer, lambda: NOW, timedelta(minutes=5))
    nowhere = pusher.schema(source(hidden), "events")
    with pytest.raises(NotServableError, match="events"):
        pusher.require_online(nowhere, ONLINE)
    pusher.require_online(nowhere, BOTH)
    pusher.require_online(pusher.schema(source(hidden, profile), "events"), ONLINE)
