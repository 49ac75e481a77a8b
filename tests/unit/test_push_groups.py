"""Group commit over stores in memory: what waits is written together, and what fails fails alone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.domain import PushOutcome, PushTarget, ViewSpec, to_microseconds
from app.errors import (
    CommitUnknownError,
    FieldError,
    InvalidRequestError,
    StoreUnavailableError,
    TooBusyError,
    UnstorableRowsError,
)
from app.pushing.batch import RowBatch
from app.pushing.checked import CheckedRows
from app.pushing.due import DueRows
from app.pushing.grouped import GroupedPush, PushResult
from app.pushing.groups import PushGroups
from app.pushing.schema import PushSchema
from app.pushing.writing import GroupWriter
from tests.unit.catalogs import profile

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = to_microseconds(NOW)
SCHEMA = PushSchema("events", [profile], timedelta(minutes=5))
OTHER = PushSchema("others", [dataclasses.replace(profile, name="other")], timedelta(minutes=5))
BOTH, ONLINE, OFFLINE = PushTarget.ONLINE_AND_OFFLINE, PushTarget.ONLINE, PushTarget.OFFLINE
APPLIED, LATE, REJECTED = PushOutcome.APPLIED, PushOutcome.LATE, PushOutcome.REJECTED


class Stores:
    """Both stores: rows by user; `bad` ones cannot be kept offline, `odd` ones not online; `late` ones are late."""

    def __init__(self) -> None:
        self.offline: list[list[str]] = []
        self.online: list[list[str]] = []
        self.stamps: list[int | None] = []
        self.held: set[str] = set()
        self.looks = 0
        self.offline_error: Exception | None = None
        self.online_error: Exception | None = None

    def append_batch(self, views: Sequence[ViewSpec], batch: RowBatch) -> None:
        if self.offline_error:
            raise self.offline_error
        users = list(batch.columns["user_id"])
        faults = {at: [FieldError("name", "cannot be kept")] for at, user in enumerate(users) if user == "bad"}
        if faults:
            raise UnstorableRowsError(faults)
        self.offline.append(users)
        self.stamps += batch.created

    def missing(self, views: Sequence[ViewSpec], batches: Sequence[RowBatch]) -> list[Sequence[int]]:
        self.looks += 1
        return [
            [place for place, user in enumerate(batch.columns["user_id"]) if user not in self.held] for batch in batches
        ]

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        if self.online_error:
            raise self.online_error
        if "odd" in batch.columns["user_id"]:
            raise InvalidRequestError("no form online")
        self.online.append(list(batch.columns["user_id"]))
        return [LATE if user == "late" else APPLIED for user in batch.columns["user_id"]]


class Gate:
    """Runs work when it is told to, and tells when some waits."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)

    async def run(self, work: Callable[[], None]) -> None:
        self.waiting.release()
        await self.open.wait()
        work()


def checked(*users: str, rejected: int = 0) -> CheckedRows:
    rows = [{"user_id": user, "age": 1, "name": None} for user in users] + [{}] * rejected
    return CheckedRows.joined(list(SCHEMA.check(rows, AT)))


def push(*users: str, target: PushTarget = BOTH, atomic: bool = False, rejected: int = 0) -> GroupedPush:
    return GroupedPush(checked(*users, rejected=rejected), target, atomic)


def writer(stores: Stores) -> GroupWriter:
    return GroupWriter(stores, stores, DueRows(stores, lambda: NOW), lambda: NOW)


def written(stores: Stores, *pushes: GroupedPush) -> list[PushResult | str]:
    """What became of the pushes as one group; of one that failed its error."""
    writer(stores).write(SCHEMA, pushes)
    return [push.result() if push.error is None else push.error.detail for push in pushes]


def outcomes(results: Sequence[PushResult | str]) -> list[list[PushOutcome] | str]:
    return [one if isinstance(one, str) else list(one.outcomes) for one in results]


def test_a_group_is_one_append_and_one_write_and_each_push_gets_its_own_outcomes() -> None:
    stores = Stores()
    both = [push("a", "late", rejected=1), push("b")]
    found = written(stores, *both, push("c", target=ONLINE), push("d", target=OFFLINE))
    assert stores.offline == [["a", "late", "b", "d"]]
    assert stores.online == [["a", "late", "b", "c"]]
    assert outcomes(found) == [[APPLIED, LATE, REJECTED], [APPLIED], [APPLIED], [APPLIED]]
    first = found[0]
    assert isinstance(first, PushResult)
    assert first.reasons[1] == "older than what is stored"
    assert first.reasons[2].startswith("missing_column")


def test_a_row_that_cannot_be_kept_offline_is_rejected_and_no_other() -> None:
    stores = Stores()
    found = written(stores, push("a", "bad", "b"), push("bad"), push("c"))
    # Those without such a row do not wait for what else the store may find.
    assert stores.offline == [["c"], ["a", "b"]]
    assert stores.online == [["a", "b", "c"]]
    assert outcomes(found) == [[APPLIED, REJECTED, APPLIED], [REJECTED], [APPLIED]]
    assert isinstance(found[0], PushResult)
    assert found[0].reasons == {1: "name: cannot be kept"}


def test_an_atomic_push_goes_as_a_whole() -> None:
    stores = Stores()
    pushes = [push("a", "bad", atomic=True), push("b")]
    found = written(stores, *pushes)
    assert stores.offline == stores.online == [["b"]]
    assert outcomes(found)[1] == [APPLIED]
    assert isinstance(pushes[0].error, InvalidRequestError)
    assert [fault.field for fault in pushes[0].error.errors] == ["name"]


@pytest.mark.parametrize(
    ("error", "says"),
    [(StoreUnavailableError("away"), "away. Nothing was kept"), (CommitUnknownError("who knows"), "who knows")],
)
def test_an_offline_store_that_fails_fails_only_those_who_want_it(error: Exception, says: str) -> None:
    stores = Stores()
    stores.offline_error = error
    pushes = [push("a"), push("b", target=ONLINE)]
    assert outcomes(written(stores, *pushes)) == [says, [APPLIED]]
    assert stores.online == [["b"]]
    assert type(pushes[0].error) is type(error)


def test_an_online_store_that_fails_says_to_each_what_was_kept() -> None:
    stores = Stores()
    stores.online_error = StoreUnavailableError("away")
    found = written(stores, push("a"), push("b", target=ONLINE), push("c", target=OFFLINE))
    assert stores.offline == [["a", "c"]]
    kept, lost, offline = outcomes(found)
    assert "kept offline" in kept
    assert lost == "away. The rows may still be written; pushing them again does no harm"
    assert offline == [APPLIED]


def test_a_value_that_cannot_be_kept_online_fails_its_push_alone() -> None:
    stores = Stores()
    pushes = [push("a", target=ONLINE), push("odd", target=ONLINE), push("b", target=OFFLINE), push("c")]
    assert outcomes(written(stores, *pushes)) == [[APPLIED], "no form online", [APPLIED], [APPLIED]]
    assert stores.online == [["a"], ["c"]]
    assert isinstance(pushes[1].error, InvalidRequestError)


def test_a_push_that_was_begun_before_is_appended_only_where_it_is_not_held() -> None:
    stores = Stores()
    stores.held = {"a", "c"}
    before = [GroupedPush(checked(user), BOTH, stamp=AT - 9, again=True) for user in ("a", "b")]
    assert outcomes(written(stores, *before, push("c"))) == [[APPLIED]] * 3
    assert stores.offline == [["b", "c"]]
    assert stores.online == [["a", "b", "c"]]
    assert stores.stamps == [AT - 9, AT]
    assert stores.looks == 1, "one look for all of them"


def test_of_a_push_that_was_begun_before_only_what_is_missing_is_appended() -> None:
    stores = Stores()
    stores.held = {"b", "d"}
    before = GroupedPush(checked("a", "b", "bad", "c", "d"), BOTH, stamp=AT - 9, again=True)
    assert outcomes(written(stores, push("x"), before)) == [[APPLIED], [APPLIED, APPLIED, REJECTED, APPLIED, APPLIED]]
    assert stores.offline == [["x"], ["a", "c"]]
    assert stores.online == [["x", "a", "b", "c", "d"]]
    assert stores.stamps == [AT, AT - 9, AT - 6]


def test_what_comes_while_groups_are_written_becomes_the_next_group() -> None:
    async def story() -> None:
        stores, gate = Stores(), Gate()
        groups = PushGroups(writer(stores), gate.run, 100)
        answers = []
        # Two groups of one source at a time, and any other source beside them.
        for schema, user in ((SCHEMA, "a"), (SCHEMA, "b"), (OTHER, "x")):
            answers.append(asyncio.ensure_future(groups.write(schema, push(user))))
            await gate.waiting.acquire()
        answers += [asyncio.ensure_future(groups.write(SCHEMA, push(user))) for user in "cdef"]
        await asyncio.sleep(0)
        answers[3].cancel()  # whoever goes away leaves the rows behind
        gate.open.set()
        done = await asyncio.gather(*answers, return_exceptions=True)
        assert [isinstance(one, PushResult) for one in done] == [True, True, True, False, True, True, True]
        assert sorted(stores.offline, key=len) == [["a"], ["b"], ["x"], ["c", "d", "e", "f"]]
        await groups.finish()
        assert not groups._lanes
        assert groups._rows == 0

    asyncio.run(story())


def test_beyond_the_bound_a_push_is_refused_and_later_taken_again() -> None:
    async def story() -> None:
        stores, gate = Stores(), Gate()
        groups = PushGroups(writer(stores), gate.run, 3)
        # One that is larger than the bound is taken where nothing waits.
        waiting = [asyncio.ensure_future(groups.write(SCHEMA, push("a", "b", "c", "d")))]
        await gate.waiting.acquire()
        with pytest.raises(TooBusyError, match="FRESHET_PUSH_QUEUE_ROWS"):
            await groups.write(SCHEMA, push("e"))
        gate.open.set()
        await asyncio.gather(*waiting)
        assert list((await groups.write(SCHEMA, push("e"))).outcomes) == [APPLIED]

    asyncio.run(story())


def test_a_group_that_is_not_answered_in_time_fails_and_gives_its_room_back() -> None:
    async def story() -> None:
        async def late(work: Callable[[], None]) -> None:
            raise StoreUnavailableError("not in time")

        groups = PushGroups(writer(Stores()), late, 2)
        for _ in range(5):
            with pytest.raises(StoreUnavailableError, match="not in time"):
                await groups.write(SCHEMA, push("a", "b"))

    asyncio.run(story())
