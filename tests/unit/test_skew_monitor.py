"""The monitor of skew: whose turn it is, what it keeps, and what it makes of views that cannot be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from app.domain import Catalog, FeatureRef, FieldSpec, OnDemandSpec, Projection, SourceSpec, versioned
from app.errors import NotServableError, StoreUnavailableError
from app.skew.compare import Outcome
from app.skew.findings import MOST_MISMATCHES, Kind, Mismatch, SkewReport, ViewSkew, newest
from app.skew.monitor import SkewMonitor
from app.skew.probe import Look
from app.skew.subjects import Subject, subjects
from tests.unit import catalogs

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOURCE = SourceSpec("s", "FileSource", "ts", None)


def _same(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    return {"same": columns["profile__age"]}


profile = dataclasses.replace(catalogs.profile, source=SOURCE)
same = OnDemandSpec("same_age", (FieldSpec("same", "INT64"),), (FeatureRef("profile", "age"),), (), _same)
CATALOG = catalogs.catalog(
    catalogs.service("s", Projection("profile", ("age",)), Projection("same_age", ("same",))),
    catalogs.service("t", Projection("scaled_age", ("scaled",)), Projection("same_age", ("same",))),
    views=(profile, catalogs.meter),
    on_demand=(same, catalogs.scaled),
)


class Table:
    """Leases and snapshots of one deployment, in memory."""

    def __init__(self) -> None:
        self.holder: tuple[str, int] | None = None
        self.body: Mapping[str, Any] | None = None

    def take(self, name: str, holder: str, term: timedelta, rank: int = 0) -> bool:
        """Implements app.freshness.ports.Leases; terms never end."""
        if self.holder is None or self.holder[0] == holder or self.holder[1] < rank:
            self.holder = (holder, rank)
        return self.holder[0] == holder

    def give_back(self, name: str, holder: str) -> None:
        """The same."""
        if self.holder is not None and self.holder[0] == holder:
            self.holder = None

    def publish(self, name: str, body: Mapping[str, Any], taken_at: datetime) -> None:
        """Implements app.freshness.ports.Snapshots."""
        self.body = body

    def latest(self, name: str) -> tuple[datetime, Mapping[str, Any]] | None:
        """The same."""
        return None if self.body is None else (NOON, self.body)

    @property
    def report(self) -> SkewReport:
        """What was published last."""
        assert self.body is not None
        return SkewReport.from_json(self.body)


def mismatch(entity: int, view: str = "profile", kind: Kind = Kind.VALUE) -> Mismatch:
    """One that was found."""
    return Mismatch(view, {"user_id": entity}, ("age",), kind, NOON, NOON - MINUTE)


class FakeProbe:
    """Finds what it is told to."""

    def __init__(self) -> None:
        self.looked: list[str] = []
        self.found: Look = Look({**dict.fromkeys(Outcome, 0), Outcome.MATCHED: 3, Outcome.LAGGING: 1}, ())
        self.error: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def look(self, catalog: Catalog, subject: Subject) -> Look:
        """As SkewProbe's."""
        self.looked.append(subject.name)
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return self.found

    def stop(self) -> None:
        """As SkewProbe's."""

    def close(self) -> None:
        """As SkewProbe's."""


class Process:
    """One process of a deployment."""

    def __init__(self, table: Table, holder: str = "a", rank: int = 0, catalog: Catalog = CATALOG) -> None:
        self.probe, self.now = FakeProbe(), NOON
        self.catalog: Catalog | None = catalog
        self.monitor = SkewMonitor(
            self.probe,  # type: ignore[arg-type]
            lambda: self.catalog,  # type: ignore[arg-type,return-value]
            table,
            table,
            lambda: self.now,
            5 * MINUTE,
            MINUTE,
            holder,
            rank,
        )


def test_totals_add_up_over_holders_and_looks_take_place_when_it_is_time() -> None:
    table = Table()
    first, second = Process(table), Process(table, "b", rank=1)
    assert first.monitor.run_once()
    assert table.report.views["profile"].checked == 3
    first.now = second.now = NOON + 4 * MINUTE
    assert not second.monitor.run_once()
    first.now = second.now = NOON + 5 * MINUTE
    assert not first.monitor.run_once()  # the worker has the lease now
    second.probe.found = Look({**dict.fromkeys(Outcome, 0), Outcome.MISMATCHED: 2}, (mismatch(1), mismatch(2)))
    assert second.monitor.run_once()
    profile = table.report.views["profile"]
    assert (profile.checked, profile.mismatched, profile.lagging) == (5, 2, 0)
    assert [one.entity["user_id"] for one in table.report.mismatches][:2] == [1, 2]


def test_who_loses_the_lease_in_between_publishes_nothing() -> None:
    table = Table()
    server, worker = Process(table), Process(table, "b", rank=1)
    server.probe.meanwhile = worker.monitor.run_once
    assert not server.monitor.run_once()
    assert table.report.views["profile"].checked == 3
    assert server.probe.looked == ["profile"]


def test_not_even_who_loses_it_at_the_last_view() -> None:
    table = Table()
    alone = catalogs.catalog(views=(profile,), on_demand=())
    server = Process(table, catalog=alone)
    server.probe.meanwhile = lambda: table.take("skew", "b", MINUTE, 1)
    assert not server.monitor.run_once()
    assert table.body is None


def test_a_view_that_cannot_be_compared_says_why_and_keeps_its_totals() -> None:
    table = Table()
    process = Process(table)
    assert process.monitor.run_once()
    process.now += 5 * MINUTE
    process.probe.error = NotServableError("its source is a Riddle")
    assert process.monitor.run_once()
    profile = table.report.views["profile"]
    assert (profile.checked, profile.lagging, profile.skipped_reason) == (3, 0, "its source is a Riddle")
    assert profile.last_checked_at == NOON
    assert table.report.success_at == process.now
    assert table.report.views["meter"].skipped_reason == "it has no batch source, and so no history"


@pytest.mark.parametrize("error", [StoreUnavailableError("Redis does not answer"), ZeroDivisionError("secret")])
def test_a_store_that_fails_is_no_success(error: Exception) -> None:
    table = Table()
    process = Process(table)
    assert process.monitor.run_once()
    process.now += 5 * MINUTE
    process.probe.error = error
    assert process.monitor.run_once()
    assert table.report.success_at == NOON
    assert "secret" not in str(table.body)


def test_why_a_view_is_not_compared_is_told_when_it_changes() -> None:
    process = Process(Table())
    told = []
    for error in (None, "a Riddle", "a Riddle", "an Enigma", None):
        process.probe.error = None if error is None else NotServableError(error)
        with structlog.testing.capture_logs() as logs:
            assert process.monitor.run_once()
        told.append([(log["event"], log.get("reason")) for log in logs if log["feature_view"] == "profile"])
        process.now += 5 * MINUTE
    assert told == [
        [],
        [("a view cannot be compared", "a Riddle")],
        [],
        [("a view cannot be compared", "an Enigma")],
        [("a view is compared again", None)],
    ]


def test_the_entities_that_a_function_fails_on_are_counted_and_not_compared() -> None:
    table = Table()
    process = Process(table)
    process.probe.found = Look({**dict.fromkeys(Outcome, 0), Outcome.MATCHED: 3, Outcome.FAILING: 2}, ())
    assert process.monitor.run_once()
    assert (table.report.views["profile"].checked, table.report.views["profile"].failing) == (3, 2)


@pytest.mark.parametrize("where", ["a store", "the catalog"])
def test_who_cannot_look_leaves_it_to_others_until_it_is_time_again(where: str) -> None:
    table = Table()
    worker, server = Process(table, "worker", rank=1), Process(table, "server")
    if where == "a store":
        worker.probe.error = StoreUnavailableError("Redis does not answer")
        assert worker.monitor.run_once()
        assert (table.report.views["profile"].skipped_reason, table.report.success_at) == (
            "Redis does not answer",
            None,
        )
    else:
        worker.catalog = None
        with pytest.raises(AttributeError):
            worker.monitor.run_once()
    assert table.holder is None
    # The worker must not take it back while the server looks.
    server.probe.meanwhile = worker.monitor.run_once
    assert server.monitor.run_once()
    assert table.holder == ("server", 0)
    assert table.report.success_at == NOON
    worker.probe.error, worker.catalog, worker.probe.looked = None, CATALOG, []
    worker.now = NOON + 5 * MINUTE
    assert worker.monitor.run_once()
    assert worker.probe.looked


def test_one_view_that_fails_among_others_keeps_the_lease() -> None:
    table = Table()
    process = Process(table)

    def first_alone() -> None:
        process.probe.error = None if process.probe.looked[1:] else StoreUnavailableError("too slow")

    process.probe.meanwhile = first_alone
    assert process.monitor.run_once()
    assert table.holder == ("a", 0)
    assert table.report.began_at == NOON
    assert (table.report.success_at, table.report.views["same_age"].checked) == (None, 3)


def test_who_is_told_to_stop_stops() -> None:
    table = Table()
    process = Process(table)
    process.probe.meanwhile = process.monitor.stop
    assert not process.monitor.run_once()
    assert table.body is None
    process.monitor.give_back()
    assert table.holder is None


def test_what_there_is_to_compare() -> None:
    found = {subject.name: subject for subject in subjects(CATALOG)}
    assert list(found) == ["profile", "meter", "same_age", "scaled_age"]
    assert found["profile"].references == ["profile:age", "profile:name"]
    assert found["same_age"].references == ["profile:age", "same_age:same"]
    assert "factor" in (found["scaled_age"].refusal or "")


def test_what_is_not_read_has_no_other_side() -> None:
    hidden = dataclasses.replace(profile, online=False)
    lonely = dataclasses.replace(same, inputs=())
    catalog = catalogs.catalog(
        catalogs.service("s", Projection("same_age", ("same",)), Projection("same_age", ("same",), version=7)),
        catalogs.service("refused", Projection("scaled_age", ("scaled",)), refusal="it is precomputed"),
        views=(hidden,),
        on_demand=(lonely, catalogs.scaled),
        versions={versioned("other", 1): same},
    )
    found = {subject.name: subject.refusal for subject in subjects(catalog)}
    assert found == {
        "same_age": "it reads no stored view",
        "same_age@v7": "the registry does not remember this version",
    }


def test_a_report_survives_its_snapshot() -> None:
    view = ViewSkew("profile", 5, 2, 1, 3, 4, None, NOON)
    mismatches = (mismatch(1), dataclasses.replace(mismatch(2), event_timestamp=None, kind=Kind.TRANSFORMATION))
    report = SkewReport(NOON, NOON - MINUTE, None, {"profile": view}, mismatches)
    assert SkewReport.from_json(report.to_json()) == report


def test_an_entity_that_stays_wrong_is_listed_once_and_the_list_is_bounded() -> None:
    known = [mismatch(number) for number in range(MOST_MISMATCHES)]
    again = dataclasses.replace(mismatch(7), seen_at=NOON + MINUTE)
    found = newest([again, mismatch(1000)], known, NOON)
    assert len(found) == MOST_MISMATCHES
    assert found[:3] == (again, mismatch(1000), mismatch(0))
    assert mismatch(7) not in found


def test_a_mismatch_that_nobody_has_seen_again_for_a_week_is_forgotten() -> None:
    table = Table()
    process = Process(table)
    process.probe.found = Look(dict.fromkeys(Outcome, 0), (mismatch(1),))
    assert process.monitor.run_once()
    process.probe.found = Look(dict.fromkeys(Outcome, 0), ())
    process.now = NOON + timedelta(days=7)
    assert process.monitor.run_once()
    assert [one.entity for one in table.report.mismatches] == [{"user_id": 1}]
    process.now += 5 * MINUTE
    assert process.monitor.run_once()
    assert table.report.mismatches == ()
