"""DataFrames on their way to the Pusher: all rows or none, and only where somebody may read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.feast_wire.pushing import push_frame, write_frame
from app.api.feast_wire.route import UnknownPushSourceError, UnknownViewError
from app.domain import PushTarget, to_microseconds
from app.errors import InvalidRequestError, NotServableError
from app.pushing.checked import CheckedRows
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
    """Stands for the Pusher and all else that a state has; keeps what was pushed: source, views, rows, target."""

    def __init__(self, max_push_rows: int = 10) -> None:
        self.pushed: list[tuple[str, tuple[str, ...], int, PushTarget]] = []
        settings = SimpleNamespace(max_push_rows=max_push_rows, max_clock_skew=timedelta(minutes=5))
        self.state: Any = SimpleNamespace(
            plans=SimpleNamespace(catalog=CATALOG), pusher=self, settings=settings, clock=lambda: NOW
        )

    def check(self, schema: PushSchema, rows: list[Any]) -> Iterator[CheckedRows]:
        return schema.check(rows, to_microseconds(NOW))

    def write(self, schema: PushSchema, checked: CheckedRows, target: PushTarget) -> None:
        self.pushed.append((schema.push_source, tuple(view.name for view in schema.views), len(checked), target))


def test_a_push_goes_to_the_views_of_its_source() -> None:
    pushes = Pushes()
    push_frame(pushes.state, "events", ROWS, PushTarget.ONLINE_AND_OFFLINE)
    assert pushes.pushed == [("events", ("second",), 2, PushTarget.ONLINE_AND_OFFLINE)]


@pytest.mark.parametrize(("view", "source"), [("profile", "profile"), ("second", "events")])
def test_a_write_goes_to_its_view_alone_and_online_alone(view: str, source: str) -> None:
    pushes = Pushes()
    write_frame(pushes.state, view, ROWS)
    assert pushes.pushed == [(source, (view,), 2, PushTarget.ONLINE)]


def test_nothing_is_pushed_where_a_row_is_faulty() -> None:
    pushes = Pushes()
    faulty = {**ROWS, "age": [1, "x"]}
    writes: list[Callable[[], None]] = [
        lambda: push_frame(pushes.state, "events", faulty, PushTarget.ONLINE),
        lambda: write_frame(pushes.state, "profile", faulty),
    ]
    for write in writes:
        with pytest.raises(InvalidRequestError, match="1 of 2 rows are faulty") as told:
            write()
        assert [(fault.field, fault.message) for fault in told.value.errors] == [
            ("row 1", "age: expected an integer, got a string")
        ]
    assert pushes.pushed == []


def test_no_rows_are_pushed_nowhere() -> None:
    pushes = Pushes()
    push_frame(pushes.state, "events", {name: [] for name in ROWS}, PushTarget.ONLINE)
    assert pushes.pushed == []


def test_what_is_not_kept_online_is_written_offline_only() -> None:
    pushes = Pushes()
    push_frame(pushes.state, "archive", ROWS, PushTarget.OFFLINE)
    assert len(pushes.pushed) == 1
    with pytest.raises(NotServableError, match="not kept online"):
        push_frame(pushes.state, "archive", ROWS, PushTarget.ONLINE_AND_OFFLINE)
    with pytest.raises(NotServableError, match="hidden cannot be written online: it is not kept online"):
        write_frame(pushes.state, "hidden", ROWS)


def test_unknown_names_and_a_source_that_nobody_reads() -> None:
    pushes = Pushes()
    with pytest.raises(UnknownPushSourceError, match=r"no push source nope\. Known: events, archive, idle"):
        push_frame(pushes.state, "nope", ROWS, PushTarget.ONLINE)
    with pytest.raises(InvalidRequestError, match="No feature view reads push source idle"):
        push_frame(pushes.state, "idle", ROWS, PushTarget.ONLINE)
    with pytest.raises(UnknownViewError, match="no feature view nope"):
        write_frame(pushes.state, "nope", ROWS)
    with pytest.raises(NotServableError, match="scaled_age cannot be written: it is no stored feature view"):
        write_frame(pushes.state, "scaled_age", ROWS)


def test_too_many_rows() -> None:
    with pytest.raises(InvalidRequestError, match="Too many rows"):
        push_frame(Pushes(max_push_rows=1).state, "events", ROWS, PushTarget.ONLINE)
