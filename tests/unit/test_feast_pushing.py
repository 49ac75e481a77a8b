"""DataFrames on their way to the Pusher: all rows or none, and only where somebody may read them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.feast_wire.pushing import push_frame, write_frame
from app.api.feast_wire.route import UnknownPushSourceError, UnknownViewError
from app.domain import PushOutcome, PushTarget
from app.errors import InvalidRequestError, NotServableError
from app.pushing.grouped import GroupedPush, PushResult
from app.pushing.push import Pusher
from app.pushing.schema import PushSchema
from tests.unit.catalogs import catalog, profile

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
second = dataclasses.replace(profile, name="second", push_source="events")
hidden = dataclasses.replace(profile, name="hidden", online=False, push_source="archive")
CATALOG = dataclasses.replace(
    catalog(views=(profile, second, hidden)),
    push_sources={"events": ("second",), "archive": ("hidden",), "idle": ()},
)
ROWS = {"user_id": ["u", "v"], "age": [1, 2], "name": ["a", None]}


class Pushes:
    """Stands for all that a state has, with a Pusher that checks and groups that keep what was to be written: source,
    views, rows, target."""

    def __init__(self, max_push_rows: int = 10) -> None:
        self.pushed: list[tuple[str, tuple[str, ...], int, PushTarget]] = []
        self.schemas: list[PushSchema] = []
        writer: Any = None
        self.state: Any = SimpleNamespace(
            plans=SimpleNamespace(catalog=CATALOG),
            pusher=Pusher(writer, lambda: NOW, timedelta(minutes=5)),
            push_groups=self,
            settings=SimpleNamespace(max_push_rows=max_push_rows),
        )

    async def write(self, schema: PushSchema, push: GroupedPush) -> PushResult:
        assert push.atomic
        self.schemas.append(schema)
        views = tuple(view.name for view in schema.views)
        self.pushed.append((schema.push_source, views, len(push.checked), push.target))
        return PushResult([PushOutcome.APPLIED] * len(push.checked), {})

    def push(self, push_source: str, df: dict[str, Any], target: PushTarget) -> None:
        asyncio.run(push_frame(self.state, push_source, df, target))

    def write_view(self, view: str, df: dict[str, Any]) -> None:
        asyncio.run(write_frame(self.state, view, df))


def test_a_push_goes_to_the_views_of_its_source() -> None:
    pushes = Pushes()
    pushes.push("events", ROWS, PushTarget.ONLINE_AND_OFFLINE)
    assert pushes.pushed == [("events", ("second",), 2, PushTarget.ONLINE_AND_OFFLINE)]


@pytest.mark.parametrize(("view", "source"), [("profile", "profile"), ("second", "events")])
def test_a_write_goes_to_its_view_alone_and_online_alone(view: str, source: str) -> None:
    pushes = Pushes()
    pushes.write_view(view, ROWS)
    assert pushes.pushed == [(source, (view,), 2, PushTarget.ONLINE)]


def test_nothing_is_pushed_where_a_row_is_faulty() -> None:
    pushes = Pushes()
    faulty = {**ROWS, "age": [1, "x"]}
    writes: list[Callable[[], None]] = [
        lambda: pushes.push("events", faulty, PushTarget.ONLINE),
        lambda: pushes.write_view("profile", faulty),
    ]
    for write in writes:
        with pytest.raises(InvalidRequestError, match="1 of 2 rows are faulty") as told:
            write()
        assert [(fault.field, fault.message) for fault in told.value.errors] == [
            ("row 1", "wrong_type: age: expected an integer, got a string")
        ]
    assert pushes.pushed == []


def test_frames_for_one_source_may_be_written_together() -> None:
    pushes = Pushes()
    for _ in range(2):
        pushes.push("events", ROWS, PushTarget.ONLINE)
        pushes.write_view("profile", ROWS)
    # What has the same schema waits in the same lane.
    assert pushes.schemas == pushes.schemas[:2] * 2
    assert pushes.schemas[0] is pushes.state.pusher.schema(CATALOG, "events")


def test_no_rows_are_pushed_nowhere() -> None:
    pushes = Pushes()
    pushes.push("events", {name: [] for name in ROWS}, PushTarget.ONLINE)
    assert pushes.pushed == []


def test_what_is_not_kept_online_is_written_offline_only() -> None:
    pushes = Pushes()
    pushes.push("archive", ROWS, PushTarget.OFFLINE)
    assert len(pushes.pushed) == 1
    with pytest.raises(NotServableError, match="not kept online"):
        pushes.push("archive", ROWS, PushTarget.ONLINE_AND_OFFLINE)
    with pytest.raises(NotServableError, match="hidden cannot be written online: it is not kept online"):
        pushes.write_view("hidden", ROWS)


def test_unknown_names_and_a_source_that_nobody_reads() -> None:
    pushes = Pushes()
    with pytest.raises(UnknownPushSourceError, match=r"no push source nope\. Known: events, archive, idle"):
        pushes.push("nope", ROWS, PushTarget.ONLINE)
    with pytest.raises(InvalidRequestError, match="No feature view reads push source idle"):
        pushes.push("idle", ROWS, PushTarget.ONLINE)
    with pytest.raises(UnknownViewError, match="no feature view nope"):
        pushes.write_view("nope", ROWS)
    with pytest.raises(NotServableError, match="scaled_age cannot be written online: it is no stored feature view"):
        pushes.write_view("scaled_age", ROWS)


def test_too_many_rows() -> None:
    with pytest.raises(InvalidRequestError, match="Too many rows"):
        Pushes(max_push_rows=1).push("events", ROWS, PushTarget.ONLINE)
