"""Which ages of served rows are counted, and how many of them are beyond the SLA of their view."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import hot_metrics, metrics
from app.domain import Catalog, OnStale, Projection, to_microseconds, versioned
from app.serving.ages import ServedAges
from app.serving.plan import ServingPlan
from app.serving.planner import compile_features, compile_service
from app.serving.reader import read_features
from app.serving.request import OnlineRequest
from app.serving.row import read_row
from app.serving.rules import HIDDEN
from app.threads import DaemonThreads
from tests.unit.catalogs import FakeStore, catalog, profile, scaled, service, visits

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT = to_microseconds(NOW)
SECOND = 1_000_000
MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE
THREADS = DaemonThreads("on-demand", 1)

STORE: dict[tuple[str, tuple[Any, ...]], tuple[datetime, dict[str, Any]]] = {
    ("profile", ("fresh",)): (NOW - 2 * MINUTE, {"age": 30, "name": None}),
    ("profile", ("late",)): (NOW - 6 * MINUTE, {"age": 30, "name": "Late"}),
    ("profile", ("old",)): (NOW - 2 * HOUR, {"age": 40, "name": "Old"}),
    ("profile", ("future",)): (NOW + MINUTE, {"age": 50, "name": "Soon"}),
    ("visits", ("fresh", 1)): (NOW - 24 * HOUR, {"count": 7, "name": "Shop"}),
}
USERS = ["fresh", "late", "old", "future", "nobody"]


def sample(text: str) -> float:
    """One sample of the exposition; 0 where there is none."""
    found = [line for line in metrics.exposition().decode().splitlines() if line.startswith(text + " ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


class Counted:
    """What has been counted of a view since this was made."""

    def __init__(self, view: str) -> None:
        self._view = view
        self._before = self._now()

    def _now(self) -> tuple[float, ...]:
        hot_metrics.flush()
        mine = f'feature_view="{self._view}"'
        return (
            sample(f"freshet_served_age_seconds_count{{{mine}}}"),
            sample(f"freshet_served_age_seconds_sum{{{mine}}}"),
            sample(f"freshet_served_stale_total{{{mine}}}"),
        )

    def since(self) -> tuple[float, ...]:
        """How many ages, their sum in seconds, and how many were beyond the SLA."""
        return tuple(after - before for after, before in zip(self._now(), self._before, strict=True))


def known() -> Catalog:
    realtime = replace(profile, tags={"freshness_sla": "realtime"})
    return catalog(views=(realtime, visits), on_demand=(scaled,))


def plan(*references: str) -> ServingPlan:
    return compile_features(known(), references, FakeStore(STORE))


def serve(plan: ServingPlan, users: list[str], times: int = 1, **options: Any) -> None:
    """Read and count, as the routes do: one row at a time, and all rows together."""
    keys: dict[str, list[Any]] = {"user_id": users}
    if "shop_id" in plan.join_keys:
        keys["shop_id"] = [1] * len(users)
    data = {"factor": [2.0] * len(users)} if plan.request_fields else {}
    for row in range(len(users)):
        alone = {name: column[row : row + 1] for name, column in keys.items()}
        of_row = {name: column[row : row + 1] for name, column in data.items()}
        found = asyncio.run(read_row(plan, OnlineRequest(alone, of_row, 1, **options), NOW, THREADS))
        for _ in range(times):
            plan.ages.add_row(found.at, found.held)
    result = asyncio.run(read_features(plan, OnlineRequest(keys, data, len(users), **options), NOW, THREADS))
    for _ in range(times):
        plan.ages.add(result.at, result.rows, result.held)


@pytest.mark.parametrize("times", [1, 40])
@pytest.mark.parametrize("references", [["profile:age", "profile:name"], ["scaled_age:scaled"]])
def test_rows_that_are_shown_have_an_age(times: int, references: list[str]) -> None:
    counted = Counted("profile")
    serve(plan(*references), USERS, times)
    # Once as rows and once as columns; what is missing, of the future or beyond the ttl of an hour has none.
    assert counted.since() == (4 * times, 2 * times * (120 + 360), 2 * times)


def test_old_rows_that_are_shown_all_the_same_count() -> None:
    counted = Counted("profile")
    serve(plan("profile:age"), USERS, on_stale=OnStale.SERVE)
    assert counted.since() == (6, 2 * (120 + 360 + 7200), 4)


def test_a_request_may_hide_more_rows_than_the_ttl() -> None:
    counted = Counted("profile")
    serve(plan("profile:age"), USERS, max_staleness=5 * MINUTE)
    assert counted.since() == (2, 240, 0)


def test_every_view_of_a_plan_has_its_own_and_none_without_an_sla_is_stale() -> None:
    two, one = Counted("visits"), Counted("profile")
    serve(plan("profile:age", "visits:count"), USERS)
    assert two.since() == (2, 2 * 86_400, 0)
    assert one.since() == (4, 960, 2)
    text = metrics.exposition().decode()
    assert 'freshet_served_stale_total{feature_view="profile"}' in text
    assert 'freshet_served_stale_total{feature_view="visits"}' not in text


def test_an_age_as_long_as_the_sla_keeps_it() -> None:
    counted = Counted("ages_exact")
    ages = ServedAges([("ages_exact", 5 * MINUTE)])
    for microseconds in (300 * SECOND, 300 * SECOND + 1):
        ages.add_row(AT, [AT - microseconds])
        hot_metrics.flush()
        ages.add(AT, 100, [[AT - microseconds] * 100])
    number, _, stale = counted.since()
    assert (number, stale) == (202, 101)
    assert sample('freshet_served_age_seconds_bucket{feature_view="ages_exact",le="300.0"}') == 101
    assert sample('freshet_served_age_seconds_bucket{feature_view="ages_exact",le="900.0"}') == 202


def test_few_and_many_make_the_same_histogram() -> None:
    moments = [AT - number**4 * 1_000 for number in range(300)]
    few, many = ServedAges([("ages_few", HOUR)]), ServedAges([("ages_many", HOUR)])
    for moment in moments:
        few.add_row(AT, [moment])
        hot_metrics.flush()
    many.add(AT, len(moments), [[*moments]])
    hot_metrics.flush()
    lines = metrics.exposition().decode().splitlines()
    of = {name: [line for line in lines if f'"{name}"' in line] for name in ("ages_few", "ages_many")}
    assert [line.replace("ages_few", "ages_many") for line in of["ages_few"]] == of["ages_many"]
    assert len(of["ages_many"]) == 19


def test_times_that_no_clock_has_ever_shown_do_no_harm() -> None:
    counted = Counted("ages_odd")
    ages = ServedAges([("ages_odd", MINUTE)])
    ages.add_row(AT, [-(2**80)])
    hot_metrics.flush()
    for _ in range(60):
        ages.add_row(AT, [-(2**80)])
    ages.add(AT, 100, [[-(2**80), HIDDEN] * 50])
    number, _, stale = counted.since()
    assert (number, stale) == (111, 111)


def test_a_plan_may_read_no_view_at_all() -> None:
    ages = ServedAges([])
    ages.add_row(AT, [])
    ages.add(AT, 100, [])
    ages.flush()


def test_what_is_pending_is_bounded_and_outlives_its_plan() -> None:
    counted = Counted("ages_pending")
    ages = ServedAges([("ages_pending", MINUTE)])
    for _ in range(120):
        ages.add(AT, 100, [[AT - SECOND] * 100])
    assert ages._pending <= 10_000
    del ages
    gc.collect()
    assert counted.since() == (12_000, 12_000, 0)


def test_labels_are_the_names_of_the_registry() -> None:
    pinned = replace(profile, pinned=1)
    renamed = service(
        "s",
        Projection("profile", ("age",), alias="people"),
        Projection("profile", ("name",), version=1, join_key_map={"user_id": "other"}),
        Projection("scaled_age", ("scaled",), alias="twice"),
    )
    base = replace(known(), versions={versioned("profile", 1): pinned})
    compiled = compile_service(base, renamed, FakeStore(STORE))
    assert set(compiled.served._views) == {"profile", "scaled_age"}
    counted = Counted("profile")
    compiled.ages.add_row(AT, [AT] * len(compiled.views))
    assert counted.since()[0] == len(compiled.views) > 1
    hot_metrics.flush()
    text = metrics.exposition().decode()
    for shown in ("people", "@v1", "twice"):
        assert shown not in text
