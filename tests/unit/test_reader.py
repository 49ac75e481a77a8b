"""Reading by a plan over a store in memory: statuses, staleness, duplicates, on-demand results."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import OnStale, ValueStatus
from app.errors import StaleFeaturesError
from app.planning.transforms import status_of
from app.serving.encode import encode_many, encode_one, encode_part, encode_row
from app.serving.plan import ServingPlan
from app.serving.planner import compile_features
from app.serving.reader import OnlineResult, read_features
from app.serving.request import OnlineRequest
from app.serving.row import read_row
from app.threads import DaemonThreads
from tests.unit.catalogs import FakeStore, catalog

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
THREADS = DaemonThreads("on-demand", 2)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PRESENT, NULL, MISSING, OLD = (
    ValueStatus.PRESENT,
    ValueStatus.NULL_VALUE,
    ValueStatus.NOT_FOUND,
    ValueStatus.OUTSIDE_MAX_AGE,
)

STORE: dict[tuple[str, tuple[Any, ...]], tuple[datetime, dict[str, Any]]] = {
    ("profile", ("fresh",)): (NOW - HOUR, {"age": 30, "name": None}),
    ("profile", ("old",)): (NOW - HOUR - TICK, {"age": 40, "name": "Old"}),
    ("profile", ("future",)): (NOW + TICK, {"age": 50, "name": "Soon"}),
    ("profile", ("now",)): (NOW, {"age": 60, "name": "Now"}),
    ("meter", ("fresh",)): (NOW, {"load": 0.5, "share": None}),
    ("meter", ("old",)): (NOW, {"load": math.inf, "share": math.nan}),
    ("meter", ("future",)): (NOW, {"load": -math.inf, "share": 0.25}),
    # Written when these features were of other types.
    ("meter", ("text",)): (NOW, {"load": "4.5", "share": [1.5]}),
    ("meter", ("time",)): (NOW, {"load": NOW, "share": b"x"}),
    ("visits", ("fresh", 1)): (NOW - timedelta(days=9000), {"count": 7, "name": "Shop"}),
}


def plan(*references: str) -> ServingPlan:
    return compile_features(catalog(), references, FakeStore(STORE))


@dataclass(frozen=True)
class Answer:
    """A result in the form that is easy to compare: by output, then row."""

    values: list[list[Any]]
    statuses: list[list[str]]
    event_timestamps: dict[str, list[datetime | None]]


def read(plan: ServingPlan, users: list[str], **options: Any) -> Answer:
    entities: dict[str, list[Any]] = {"user_id": users}
    if "shop_id" in plan.join_keys:
        entities["shop_id"] = [1] * len(users)
    data = {"factor": [2.0] * len(users)} if plan.request_fields else {}
    request = OnlineRequest(entities, data, len(users), **options)
    result = asyncio.run(read_features(plan, request, NOW, THREADS))
    rows = [result.odd.get(row) or plan.shape.all_present for row in range(result.rows)]
    moments = zip(plan.shape.views, result.moments, strict=True)
    return Answer(
        result.values,
        [list(column) for column in zip(*rows, strict=True)],
        {view: [None if moment is None else EPOCH + moment * TICK for moment in column] for view, column in moments},
    )


def test_statuses_follow_rule_2() -> None:
    result = read(plan("profile:age", "profile:name"), ["fresh", "old", "future", "nobody"])
    assert result.statuses == [[PRESENT, OLD, MISSING, MISSING], [NULL, OLD, MISSING, MISSING]]
    assert result.values == [[30, None, None, None], [None] * 4]
    assert result.event_timestamps == {"profile": [NOW - HOUR, NOW - HOUR - TICK, NOW + TICK, None]}


def test_what_json_cannot_say_is_a_null_and_says_so() -> None:
    result = read(plan("meter:load", "meter:share"), ["fresh", "old", "future", "nobody"])
    assert result.values == [[0.5, None, None, None], [None, None, 0.25, None]]
    assert result.statuses == [[PRESENT, NULL, NULL, MISSING], [NULL, NULL, PRESENT, MISSING]]
    whole = read(plan("meter:load"), ["fresh", "old"])
    assert (whole.values, whole.statuses) == ([[0.5, None]], [[PRESENT, NULL]])


def test_what_was_stored_under_another_type_is_served_as_it_is() -> None:
    result = read(plan("meter:load", "meter:share"), ["text", "time", "fresh"])
    assert result.values == [["4.5", NOW, 0.5], [[1.5], b"x", None]]
    assert result.statuses == [[PRESENT] * 3, [PRESENT, PRESENT, NULL]]
    assert read(plan("meter:load"), ["text", "old"]).values == [["4.5", None]]


def test_moments_that_rfc_3339_cannot_say_are_left_out() -> None:
    profile = plan("profile:age")
    for rows in (1, 20):
        for moment in (2**62, -(2**62), 2**70):
            moments: list[int | None] = [moment, *[0] * (rows - 1)]
            result = OnlineResult(rows, [[1] * rows], {}, [moments], 0, [])
            answer = orjson.loads(encode_many(profile, {"user_id": ["u"] * rows}, [encode_part(profile, result)]))
            assert answer["event_timestamps"]["profile"] == [None] + ["1970-01-01T00:00:00Z"] * (rows - 1)


def test_a_result_of_numpy_that_json_cannot_say_is_a_null() -> None:
    for value in (math.nan, np.float32("nan"), np.float64("inf"), np.float16("-inf")):
        assert status_of(value, PRESENT, tell_old=False) == NULL
    assert status_of(np.float32(1.5), PRESENT, tell_old=False) == PRESENT


def test_a_row_holds_from_its_own_moment_on() -> None:
    result = read(plan("profile:age"), ["now", "future"])
    assert (result.values, result.statuses) == ([[60, None]], [[PRESENT, MISSING]])
    assert read(plan("profile:age"), ["now"], max_staleness=timedelta(0)).values == [[60]]


def test_a_big_request_is_read_in_parts_that_keep_its_order() -> None:
    store = FakeStore(STORE)
    profile = compile_features(catalog(), ["profile:age", "profile:name"], store)
    users = ["fresh", "old", "nobody"] * 200
    whole = OnlineRequest({"user_id": users}, {}, len(users))
    parts = [asyncio.run(read_features(profile, part, NOW, THREADS)) for part in whole.parts(width=2)]
    assert [len(keys) for _, keys, _ in store.reads] == [100] * 6
    assert [value for part in parts for value in part.values[0]] == [30, None, None] * 200
    answer = orjson.loads(encode_many(profile, whole.entities, [encode_part(profile, part) for part in parts]))
    small = OnlineRequest({"user_id": users[:3]}, {}, 3)
    result = asyncio.run(read_features(profile, small, NOW, THREADS))
    once = orjson.loads(encode_many(profile, small.entities, [encode_part(profile, result)]))
    assert answer["values"] == once["values"] * 200
    assert answer["statuses"] == once["statuses"] * 200
    assert answer["event_timestamps"] == {"profile": once["event_timestamps"]["profile"] * 200}


def test_no_ttl_means_for_ever_and_max_staleness_limits_it() -> None:
    visits = plan("visits:count")
    assert read(visits, ["fresh"]).statuses == [[PRESENT]]
    assert read(visits, ["fresh"], max_staleness=HOUR).statuses == [[OLD]]


def test_the_shorter_of_ttl_and_max_staleness_counts() -> None:
    profile = plan("profile:age")
    assert read(profile, ["fresh"], max_staleness=HOUR * 2).statuses == [[PRESENT]]
    assert read(profile, ["old"], max_staleness=HOUR * 2).statuses == [[OLD]]
    assert read(profile, ["fresh"], max_staleness=HOUR - TICK).statuses == [[OLD]]
    assert read(profile, ["fresh"], max_staleness=timedelta(0)).statuses == [[OLD]]


def test_on_stale_serve_gives_the_value_with_its_status_and_fail_refuses() -> None:
    profile = plan("profile:age")
    served = read(profile, ["old", "fresh", "nobody"], on_stale=OnStale.SERVE)
    assert served.values == [[40, 30, None]]
    assert served.statuses == [[OLD, PRESENT, MISSING]]
    with pytest.raises(StaleFeaturesError, match="profile:age"):
        read(profile, ["old"], on_stale=OnStale.FAIL)
    assert read(profile, ["nobody"], on_stale=OnStale.FAIL).statuses == [[MISSING]]


def test_an_on_demand_null_has_the_worst_status_of_its_inputs() -> None:
    result = read(plan("scaled_age:scaled"), ["fresh", "old", "nobody"])
    assert result.values == [[60.0, None, None]]
    assert result.statuses == [[PRESENT, OLD, MISSING]]
    assert set(result.event_timestamps) == {"profile"}


def test_an_on_demand_result_of_stale_rows_says_so_where_that_is_asked_for() -> None:
    scaled = plan("scaled_age:scaled")
    served = read(scaled, ["fresh", "old"], on_stale=OnStale.SERVE)
    assert (served.values, served.statuses) == ([[60.0, 80.0]], [[PRESENT, OLD]])
    with pytest.raises(StaleFeaturesError, match="scaled_age:scaled"):
        read(scaled, ["old"], on_stale=OnStale.FAIL)


REFERENCES = st.lists(
    st.sampled_from(
        ["profile:age", "profile:name", "visits:count", "visits:name", "scaled_age:scaled", "meter:load", "meter:share"]
    ),
    min_size=1,
    unique=True,
)
USERS = st.sampled_from(["fresh", "old", "future", "now", "text", "time", "nobody"])
LIMITS = st.sampled_from([None, timedelta(0), HOUR - TICK, HOUR, HOUR * 2])


@settings(deadline=None)
@given(
    REFERENCES,
    st.sampled_from(["fresh", "old", "future", "now", "text", "time", "nobody"]),
    LIMITS,
    st.sampled_from(OnStale),
)
def test_one_entity_reads_as_it_does_among_many(
    references: list[str], user: str, limit: timedelta | None, on_stale: OnStale
) -> None:
    wanted = plan(*references)
    options = {"max_staleness": limit, "on_stale": on_stale}
    entities: dict[str, list[Any]] = {"user_id": [user], "shop_id": [1]}
    data = {"factor": [2.0]} if wanted.request_fields else {}
    request = OnlineRequest({name: entities[name] for name in wanted.join_keys}, data, 1, limit, on_stale)
    try:
        many = read(wanted, [user], **options)
    except StaleFeaturesError as error:
        with pytest.raises(StaleFeaturesError, match=re.escape(error.detail)):
            asyncio.run(read_row(wanted, request, NOW, THREADS))
        return
    row = asyncio.run(read_row(wanted, request, NOW, THREADS))
    statuses = row.statuses or wanted.shape.all_present
    assert [[value] for value in row.values] == many.values
    assert [[status] for status in statuses] == many.statuses
    result = asyncio.run(read_features(wanted, request, NOW, THREADS))
    assert row.moments == [column[0] for column in result.moments]
    part = encode_many(wanted, request.entities, [encode_part(wanted, result)])
    assert orjson.loads(encode_row(wanted, request.entities, row)) == orjson.loads(part)
    assert orjson.loads(encode_one(wanted, request.entities, row, True)) == {
        "feature_service": "",
        "entity": {name: values[0] for name, values in request.entities.items()},
        "features": dict(zip(wanted.shape.full_names, orjson.loads(part)["values"][0], strict=True)),
        "statuses": dict(zip(wanted.shape.full_names, statuses, strict=True)),
        "event_timestamps": {view: column[0] for view, column in orjson.loads(part)["event_timestamps"].items()},
    }
