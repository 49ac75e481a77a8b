"""The whole chain: a server, a real Prometheus with the real rules, and every query of every dashboard."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.server_process import FreshetServer
from tests.integration.watched_world import Traffic, WatchedWorld, watched
from tests.monitoring_files import panel_queries, variable_queries, with_variables
from tests.repos.watched import SLA
from tests.servers import Redis, ServerError
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.full  # an SLA has to pass, several times

VARIABLES = {
    "project": "shop",
    "feature_view": "clicks",
    "route": ".*",
    "push_source": ".*",
    "__rate_interval": "1m",
}
"""What a person has chosen, as Grafana puts it in: one view where one is chosen, everything elsewhere."""

EMPTY = {
    "pipelines.json / Rows repaired / A": "nothing had to be repaired",
    "pipelines.json / Repairs that failed / A": "nothing had to be repaired",
}
"""Queries that find nothing in any state of this test, and why."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, redis_server: Redis) -> Iterator[WatchedWorld]:
    redis_server.flush()
    with watched(tmp_path_factory.mktemp("watched"), redis_server) as world:
        yield world


Answers = dict[str, list[dict[str, Any]]]
"""The series of each query, by its name."""


def export(server: FreshetServer) -> None:
    """A training set, by a background job, to its end."""
    spine = [{"user_id": 1, "event_timestamp": datetime.now(UTC).isoformat()}]
    order = server.post("/v1/exports", {"feature_service": "watched_v1", "spine": spine})
    assert order.status_code == 202, order.text
    address = order.headers["location"]
    wait_until("the export to end", lambda: server.get(address).json()["state"] == "succeeded")


def materialize(server: FreshetServer) -> None:
    """Over Feast's wire: in the server, where it is counted."""
    body = {"start_ts": "2020-01-01T00:00:00", "end_ts": datetime.now(UTC).isoformat(), "feature_views": ["clicks"]}
    answer = server.post("/materialize", body)
    assert answer.status_code == 200, answer.text


def found(world: WatchedWorld) -> Answers:
    """What each query of each panel finds now, by its name: over the last minute, as a panel would, without NaN."""
    now = time.time()
    answers: Answers = {}
    for query in panel_queries():
        expr = query.with_variables({**VARIABLES, **({} if query.dashboard == "feature-view.json" else _ALL)})
        series = world.prometheus.query_range(expr, now - 10, now, 1)
        answers[query.name] = [one for one in series if not math.isnan(float(one["values"][-1][1]))]
    return answers


_ALL = {"project": ".*", "feature_view": ".*"}


def last(series: list[dict[str, Any]], **labels: str) -> float:
    """The last value of the one series with these labels."""
    (one,) = [one for one in series if labels.items() <= one["metric"].items()]
    return float(one["values"][-1][1])


def counted(answers: Answers, status: str) -> float:
    return last(answers[f"overview.json / {status} / A"])


def shown_without(world: WatchedWorld, complaint: Callable[[Answers], object]) -> Answers:
    """Wait until there is no complaint about what the panels show; what they show then."""
    answers: Answers = {}

    def fine() -> bool:
        answers.update(found(world))
        return not complaint(answers)

    with suppress(ServerError):
        wait_until("no complaint", fine, 60)
    if complained := complaint(answers):
        pytest.fail(f"{complained}")
    return answers


def empty(answers: Answers) -> set[str]:
    return {name for name, series in answers.items() if not series}


def test_a_pipeline_that_stops_is_seen_whoever_lives(world: WatchedWorld) -> None:
    with world.serving() as server, Traffic(server) as traffic:
        export(server)
        wait_until("the export to be counted", lambda: bool(world.prometheus.query("freshet_export_rows_total > 0")))
        # What a counter began with has no rate.
        export(server)
        materialize(server)

        healthy = shown_without(world, lambda answers: empty(answers) - EMPTY.keys())
        assert empty(healthy) == EMPTY.keys()
        shown = {
            status: counted(healthy, status) for status in ("Stale", "Warn", "Fresh", "Without data", "Unmonitored")
        }
        assert shown == {"Stale": 0, "Warn": 0, "Fresh": 1, "Without data": 1, "Unmonitored": 1}
        assert_ages(healthy, of_clicks=0)
        assert_variables(world)
        assert {alert for alert, _ in world.firing()} == {"FreshetWatchdog"}

        traffic.clicking.clear()
        stopped = time.monotonic()
        world.wait_for("FreshetViewWarn", "clicks")
        world.wait_for("FreshetViewStale", "clicks")
        assert time.monotonic() - stopped < SLA + 60
        breach = shown_without(world, lambda answers: empty(answers) - EMPTY.keys())
        assert (counted(breach, "Stale"), counted(breach, "Fresh")) == (1, 0)
        assert_ages(breach, of_clicks=2)
        (alert,) = [labels for labels in world.prometheus.alerts() if labels["alertname"] == "FreshetViewStale"]
        assert alert.items() >= {"owner": "ada@example.com", "team": "growth", "project": "shop"}.items()
        assert ("FreshetViewWarn", "clicks") not in world.firing()

        traffic.clicking.set()
        world.wait_for("FreshetViewStale", "clicks", firing=False)
        shown_without(world, lambda answers: counted(answers, "Fresh") != 1)

        server.process.kill()
        world.wait_for("FreshetDown")
        world.wait_for("FreshetViewStale", "clicks")
        dead = found(world)
        assert counted(dead, "Stale") == 1
        assert last(dead["overview.json / State / A"], feature_view="clicks") == 2
        assert world.prometheus.faulty_rules() == {}

    with world.serving() as server, Traffic(server):
        world.wait_for("FreshetDown", firing=False)
        world.wait_for("FreshetViewStale", "clicks", firing=False)

    world.wait_for("FreshetDown")
    world.forget_targets()
    world.wait_for("FreshetAbsent")
    world.wait_for("FreshetViewStale", "clicks")


def assert_ages(answers: Answers, *, of_clicks: int) -> None:
    """The state of each view, and the age beside its SLA, where they are shown."""
    for panel in ("overview.json / State / A", "overview.json / Views / A"):
        states = {one["metric"]["feature_view"]: last([one]) for one in answers[panel]}
        assert states == {"clicks": of_clicks, "orders": 3, "notes": 5}, panel
    assert last(answers["feature-view.json / State / A"]) == of_clicks
    assert last(answers["feature-view.json / SLA / A"]) == SLA
    assert (last(answers["feature-view.json / Age / A"]) > SLA) == (of_clicks == 2)
    owners = {one["metric"]["feature_view"]: one["metric"]["owner"] for one in answers["overview.json / Views / G"]}
    assert owners == {"clicks": "ada@example.com", "orders": "bob@example.com", "notes": "unassigned"}
    statuses = {one["metric"]["status"] for one in answers["feature-view.json / Values by status / A"]}
    assert {"PRESENT", "NOT_FOUND"} <= statuses
    outcomes = {one["metric"]["outcome"] for one in answers["pipelines.json / Pushed rows by outcome / A"]}
    assert {"applied", "rejected"} <= outcomes


def assert_variables(world: WatchedWorld) -> None:
    """What a person can choose from."""
    for name, (selector, label) in variable_queries().items():
        values = world.prometheus.label_values(with_variables(selector, VARIABLES), label)
        wanted = {
            "project": {"shop"},
            "feature_view": {"clicks", "orders", "notes"},
            "push_source": {"clicks_events", "notes_events"},
            "route": {"/v1/online-features", "/v1/push/{push_source}"},
        }[name.split(" / ")[1]]
        assert wanted <= values, name
