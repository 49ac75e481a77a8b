"""The plan book: swapped as a whole, kept when the registry fails, bounded for ad-hoc lists."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Sequence

import pytest

from app.domain import Catalog, Projection
from app.errors import NotFoundError, NotServableError, StoreUnavailableError
from app.planning.selection import ViewRead
from app.serving import refresh
from app.serving.refresh import PlanBook
from tests.unit.catalogs import FakeRead, FakeStore, catalog, service

ONE = catalog(service("one", Projection("profile", ("age",))))
TWO = catalog(service("two", Projection("profile", ("name",))), service("broken", Projection("nothing", ("x",))))


class Source:
    """Gives what it is told to, one answer a call, and the last one for ever."""

    def __init__(self, answers: Sequence[Catalog | Exception | None]) -> None:
        self._answers = list(answers)
        self.called = [threading.Event() for _ in range(10)]
        self._calls = 0

    def changed(self) -> Catalog | None:
        self._calls += 1
        if self._calls < len(self.called):
            self.called[self._calls].set()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_change_swaps_all_plans_and_a_broken_service_does_not_spoil_the_others() -> None:
    book = PlanBook(Source([ONE, None, TWO]), FakeStore())
    assert book.refresh() is True
    assert book.service("one").name == "one"
    assert book.refresh() is False
    assert book.refresh() is True
    assert book.service("two").outputs[0].feature == "name"
    with pytest.raises(NotFoundError, match=r"no feature service one\. Known: two, broken"):
        book.service("one")
    with pytest.raises(NotFoundError, match="no feature view nothing"):
        book.service("broken")
    assert book.look_up("broken")[1] == "The registry has no feature view nothing"


def test_nothing_is_served_before_the_first_catalog() -> None:
    book = PlanBook(Source([ONE]), FakeStore())
    assert not book.loaded
    with pytest.raises(StoreUnavailableError, match="not been read"):
        book.service("one")


def test_ad_hoc_plans_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "_ADHOC_PLANS", 1)
    book = PlanBook(Source([ONE]), FakeStore())
    book.refresh()
    first = book.features(["profile:age"])
    assert book.features(["profile:age"]) is first
    book.features(["profile:name"])
    assert book.features(["profile:age"]) is not first
    with pytest.raises(NotFoundError):
        book.features(["profile@v7:age"])


def test_a_registry_that_fails_keeps_the_last_plans_and_is_asked_again() -> None:
    source = Source([ONE, ConnectionError("secret host"), ConnectionError("secret host"), TWO, None])
    book = PlanBook(source, FakeStore())
    book.refresh()

    async def run() -> None:
        task = asyncio.create_task(book.keep_fresh(0.001))
        await asyncio.to_thread(source.called[3].wait)
        assert book.service("one")
        await asyncio.to_thread(source.called[5].wait)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert book.service("two")
    assert book.last_error is None


class Tripping(FakeStore):
    """A store that trips over one view."""

    def prepare(self, views: Sequence[ViewRead]) -> FakeRead:
        if any(view.view.name == "visits" for view in views):
            raise ValueError("not foreseen")
        return super().prepare(views)


def test_a_service_that_cannot_be_compiled_does_not_keep_the_change_out() -> None:
    both = catalog(service("good", Projection("profile", ("age",))), service("bad", Projection("visits", ("count",))))
    book = PlanBook(Source([both, None]), Tripping())
    assert book.refresh() is True
    assert book.service("good").name == "good"
    with pytest.raises(NotServableError, match=r"bad cannot be compiled \(ValueError\)"):
        book.service("bad")


def test_a_list_belongs_to_the_edition_whose_catalog_it_was_compiled_from(monkeypatch: pytest.MonkeyPatch) -> None:
    book, other = PlanBook(Source([ONE]), FakeStore()), PlanBook(Source([TWO]), FakeStore())
    book.refresh()
    other.refresh()
    old, new = book._edition, other._edition
    assert old is not None
    assert new is not None
    looks = itertools.chain([old], itertools.repeat(new))  # swapped right after the first look
    monkeypatch.setattr(PlanBook, "_edition", property(lambda _: next(looks)), raising=False)
    book.features(["profile:age"])
    assert (list(old.adhoc), list(new.adhoc)) == ([("profile:age",)], [])


def test_the_list_used_last_is_the_last_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "_ADHOC_PLANS", 2)
    book = PlanBook(Source([ONE]), FakeStore())
    book.refresh()
    kept = book.features(["profile:age"])
    book.features(["profile:name"])
    assert book.features(["profile:age"]) is kept
    book.features(["visits:count"])
    assert book.features(["profile:age"]) is kept
