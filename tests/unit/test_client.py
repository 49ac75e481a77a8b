"""What both clients send, what they make of answers, and what they import."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from textwrap import dedent
from typing import Any

import httpx2 as httpx
import pandas as pd
import pyarrow as pa
import pytest

from app.client import AsyncClient, Client, PushOutcome, ValueStatus
from tests.unit.client_world import KINDS, MANY, ONE, PUSHED, World, ok

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
VIEW: dict[str, Any] = {
    "name": "va",
    "kind": "stored",
    "entities": ["user"],
    "join_keys": [{"name": "user_id", "dtype": "STRING", "description": ""}],
    "features": [{"name": "a", "dtype": "INT64", "description": "an a"}],
    "ttl_seconds": 90.0,
    "push_source": "src",
    "source": "batch",
    "inputs": [],
    "request_fields": [],
    "version": "1",
    "freshness_sla": None,
    "owner": "me",
    "description": "",
    "tags": {"team": "t"},
    "feature_services": ["svc"],
    "refusal": None,
    "from_a_later_version": 1,
}
SERVICE: dict[str, Any] = {
    "name": "svc",
    "features": ["va:a"],
    "join_keys": VIEW["join_keys"],
    "request_fields": [],
    "servable": False,
    "refusal": "it is disabled",
    "owner": "me",
    "description": "",
    "tags": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_entity_is_read_by_a_query_string(kind: str) -> None:
    world = World(kind, [ok(ONE)])
    east = timezone(timedelta(hours=2))

    answer = world.ask(
        "read_one",
        "a service/ü",
        {"user_id": "ä & b", "n": 2**53 + 1, "flag": True, "raw": b"\x00\x01"},
        request_data={"at": MOMENT.astimezone(east), "x": 0.5},
        max_staleness=timedelta(microseconds=1),
        on_stale="serve",
        full_feature_names=True,
    )

    assert world.request.method == "GET"
    assert world.request.url.raw_path.partition(b"?")[0] == b"/v1/online-features/a%20service%2F%C3%BC"
    assert list(world.request.url.params.multi_items()) == [
        ("user_id", "ä & b"),
        ("n", "9007199254740993"),
        ("flag", "true"),
        ("raw", "AAE="),
        ("at", "2026-01-02T03:04:05.000006Z"),
        ("x", "0.5"),
        ("max_staleness", "0.000001"),
        ("on_stale", "serve"),
        ("full_feature_names", "true"),
    ]
    assert answer.features == {"a": 2**53 + 1, "b": None}
    assert answer.statuses == {"a": ValueStatus.PRESENT, "b": ValueStatus.NOT_FOUND}
    assert answer.event_timestamps == {"va": MOMENT, "vb": None}
    assert answer.event_timestamps["va"].utcoffset() == timedelta(0)


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, float("nan")])
def test_what_a_query_string_cannot_say_is_not_sent(value: Any) -> None:
    world = World("blocking", [ok(ONE)])

    with pytest.raises(ValueError, match="user_id"):
        world.ask("read_one", "svc", {"user_id": value})
    with pytest.raises(ValueError, match="on_stale is an option"):
        world.ask("read_one", "svc", {"on_stale": "u1"})
    assert world.requests == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "entities",
    [
        {"user_id": ["u1", None], "n": (1, 2**53 + 1)},
        {"user_id": pd.Series(["u1", None]), "n": pd.Index([1, 2**53 + 1])},
        {"user_id": pa.array(["u1", None]), "n": pa.chunked_array([[1], [2**53 + 1]])},
        pd.DataFrame({"user_id": ["u1", None], "n": [1, 2**53 + 1]}, index=["i", "j"]),
        pa.table({"user_id": ["u1", None], "n": [1, 2**53 + 1]}),
    ],
    ids=["lists", "series", "arrays", "DataFrame", "Table"],
)
def test_many_entities_are_read_from_columns_of_any_kind(kind: str, entities: Any) -> None:
    world = World(kind, [ok(MANY)])

    answer = world.ask(
        "read_many", entities, features=["va:a", "vb:b"], request_data={"x": [0.5, 1.5]}, max_staleness="15m"
    )

    assert (world.request.method, world.request.url.path) == ("POST", "/v1/online-features")
    assert world.request.headers["content-type"] == "application/json"
    assert json.loads(world.request.content) == {
        "features": ["va:a", "vb:b"],
        "entities": {"user_id": ["u1", None], "n": [1, 2**53 + 1]},
        "request_data": {"x": [0.5, 1.5]},
        "max_staleness": "15m",
    }
    assert len(answer) == 2
    assert answer.column("va:a") == [2**53 + 1, None]
    assert answer.statuses[1] == [ValueStatus.NOT_FOUND, ValueStatus.PRESENT]
    assert answer.event_timestamps["vb"] == [None, MOMENT]


def test_either_a_service_or_features() -> None:
    world = World("blocking", [ok(MANY)])
    for wrong in ({}, {"feature_service": "svc", "features": ["va:a"]}):
        with pytest.raises(ValueError, match="either feature_service or features"):
            world.ask("read_many", {"user_id": ["u1"]}, **wrong)
    world.ask("read_many", {"user_id": ["u1"]}, feature_service="svc", on_stale="fail")
    body = {"entities": {"user_id": ["u1"]}, "feature_service": "svc", "on_stale": "fail"}
    assert json.loads(world.request.content) == body


@pytest.mark.parametrize("kind", KINDS)
def test_an_outcome_for_every_row(kind: str) -> None:
    answer = World(kind, [ok(PUSHED)]).ask("push", "src", [{"user_id": "u1"}, {}])

    assert (answer.received, answer.applied, answer.rejected) == (2, 1, 1)
    assert [outcome.outcome for outcome in answer.outcomes] == [PushOutcome.APPLIED, PushOutcome.REJECTED]
    assert [(outcome.row, outcome.reason) for outcome in answer.rejections] == [(1, "missing column x")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_catalogue(kind: str) -> None:
    (view,) = World(kind, [ok({"feature_views": [VIEW]})]).ask("feature_views")
    (service,) = World(kind, [ok({"feature_services": [SERVICE]})]).ask("feature_services")
    world = World(kind, [ok(VIEW), ok(SERVICE)])

    assert world.ask("feature_view", "a/b") == view
    assert world.ask("feature_service", "svc") == service
    assert [request.url.raw_path for request in world.requests] == [
        b"/v1/feature-views/a%2Fb",
        b"/v1/feature-services/svc",
    ]
    assert view.ttl == timedelta(seconds=90)
    assert view.types == {"user_id": "STRING", "va:a": "INT64"}
    assert (service.servable, service.refusal) == (False, "it is disabled")


@pytest.mark.parametrize("kind", KINDS)
def test_push_sources_and_up_to_where_they_are_complete(kind: str) -> None:
    idle: dict[str, Any] = {"name": "idle", "feature_views": [], "watermark": None, "watermark_updated_at": None}
    known = {
        **idle,
        "name": "a/b",
        "feature_views": ["va"],
        "watermark": "2026-01-02T03:04:05Z",
        "watermark_updated_at": "2026-01-02T03:04:06.5Z",
    }
    world = World(kind, [ok({"push_sources": [known, idle]}), ok(known)])
    first, second = world.ask("push_sources")
    assert first == world.ask("push_source", "a/b")
    assert first.feature_views == ("va",)
    assert first.watermark == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert first.watermark_updated_at == datetime(2026, 1, 2, 3, 4, 6, 500_000, tzinfo=UTC)
    assert (second.watermark, second.watermark_updated_at) == (None, None)
    assert [request.url.raw_path for request in world.requests] == [b"/v1/push-sources", b"/v1/push-sources/a%2Fb"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_ready_is_no_error(kind: str) -> None:
    body = {"status": "not ready", "checks": {"online_store": "Redis does not answer"}, "registry_age_seconds": None}

    readiness = World(kind, [httpx.Response(503, json=body)]).ask("ready")

    assert not readiness
    assert readiness.checks == {"online_store": "Redis does not answer"}


def test_both_clients_have_the_same_documented_methods() -> None:
    def methods(client: type) -> dict[str, tuple[str, str | None]]:
        found = inspect.getmembers(client, inspect.isfunction)
        public = {name: method for name, method in found if not name.startswith("_") and "close" not in name}
        return {name: (str(inspect.signature(method)), method.__doc__) for name, method in public.items()}

    blocking = methods(Client)
    assert blocking == methods(AsyncClient)
    assert {"read_one", "read_many", "push", "feature_views", "feature_services", "ready"} <= blocking.keys()
    assert all(doc for _, doc in blocking.values())
    assert inspect.signature(Client.feature_view).return_annotation == "FeatureView"
    assert list(inspect.signature(Client("http://x").push).parameters)[:2] == ["push_source", "rows"]


def test_a_notebook_needs_httpx_and_nothing_else_of_the_service() -> None:
    program = dedent(
        """
        import importlib.metadata, re, sys

        def needed(name):
            found = {name}
            for requirement in importlib.metadata.requires(name) or ():
                other = re.match(r"[\\w.-]+", requirement)[0]
                if "extra ==" not in requirement and other not in found and other in present:
                    found |= needed(other)
            return found

        present = {name for names in importlib.metadata.packages_distributions().values() for name in names}
        modules = importlib.metadata.packages_distributions()
        allowed = needed("httpx2")

        class Guard:
            def find_spec(self, name, path=None, target=None):
                owners = modules.get(name.partition(".")[0])
                if owners and not allowed & set(owners) and name.partition(".")[0] != "app":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Guard())
        import httpx2 as httpx
        from app.client import Client

        answer = {"features": ["v:a"], "entities": {"k": [1]}, "values": [[2]], "statuses": [["PRESENT"]],
                  "event_timestamps": {"v": [None]}}
        with Client("http://x", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as client:
            read = client.read_many({"k": [1]}, features=["v:a"])
        print(read.values)
        try:
            read.to_pandas()
        except ModuleNotFoundError as error:
            print(error)
        print(sorted(name for name in sys.modules if name.startswith("app.") and not name.startswith("app.client")))
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.splitlines() == [
        "[[2]]",
        "No module named 'pandas'",
        "['app.domain', 'app.errors', 'app.values']",
    ], done.stderr
