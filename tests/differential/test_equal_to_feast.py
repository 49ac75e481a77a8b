"""Random repos, written by stock Feast into SQLite and Redis, read alike by stock Feast and by Freshet's HTTP API."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import pytest
from fastapi.testclient import TestClient
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.main import create_app
from app.settings import Settings
from tests.differential import replays
from tests.differential.asking import ask_both
from tests.differential.comparing import Comparison
from tests.differential.differences import DIFFERENCES
from tests.differential.model import Case
from tests.differential.stock import opened
from tests.differential.strategies import cases, wide_cases
from tests.servers import Redis, RedisCluster, RedisSentinel, RedisServer

AnyRedis = Redis | RedisCluster | RedisSentinel

# Shrinking a repo would take hundreds of runs; what failed names its place, and the case that is printed can be cut
# down by hand in replays.py.
_QUICK = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# Feast's Python writes a null as an empty message.
_NEVER_WRITTEN = {"null_val"}


def check(case: Case, redis: AnyRedis, comparison: Comparison) -> None:
    """Write the case, and read it through everything."""
    folder = Path(mkdtemp(prefix="freshet-differential-"))
    try:
        with opened(case, folder, redis.online_store) as repos:
            now = datetime.now(UTC)
            for store, repo in repos.items():
                repo.write(now)
                # A read on a busy machine may take its time: not what is tested here.
                configured = Settings(feature_repo=folder, feature_store_yaml=repo.yaml, online_timeout=10.0)
                with TestClient(create_app(configured), raise_server_exceptions=False) as client:
                    for request in case.requests:
                        ask_both(client, store, repo, request, comparison)
    finally:
        shutil.rmtree(folder)


def run(drawn: st.SearchStrategy[Case], redis: AnyRedis, examples: int, repeatable: bool) -> Comparison:
    comparison = Comparison()

    @settings(_QUICK, max_examples=examples, derandomize=repeatable)
    @given(case=drawn)
    def equal(case: Case) -> None:
        try:
            check(case, redis, comparison)
        except Exception as error:
            error.add_note(f"To run it again, put this into tests/differential/replays.py:\n{case!r}")
            raise

    equal()
    redis.flush()
    return comparison


def test_a_few_repos(redis_server: Redis) -> None:
    seen = run(cases(), redis_server, examples=14, repeatable=True).seen
    assert {"PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"} <= seen.keys()


def test_every_type(redis_server: Redis) -> None:
    seen = run(wide_cases(), redis_server, examples=3, repeatable=True).seen
    fields = {field.name for field in ValueProto.DESCRIPTOR.fields} - _NEVER_WRITTEN
    assert fields - seen.keys() == set()


@settings(_QUICK, max_examples=10, derandomize=True)
@given(case=cases())
def test_a_case_is_printed_as_python(case: Case) -> None:
    assert repr(eval(repr(case), dict(vars(replays)))) == repr(case)  # noqa: S307


@pytest.mark.full
@pytest.mark.timeout(900)
def test_many_repos(redis_server: Redis) -> None:
    seen = run(cases(), redis_server, examples=120, repeatable=False).seen
    seen += run(wide_cases(), redis_server, examples=20, repeatable=False).seen
    # An entry that is never met would be a licence without a reason.
    assert {difference.name for difference in DIFFERENCES} - seen.keys() == set()


TOPOLOGIES: dict[str, Callable[[], RedisCluster | RedisSentinel | RedisServer]] = {
    "a cluster": lambda: RedisCluster(password="s3cret"),
    "sentinel": lambda: RedisSentinel(password="s3cret"),
    "TLS": lambda: RedisServer(tls=True, password="s3cret"),
}


@pytest.mark.full
@pytest.mark.parametrize("start", TOPOLOGIES.values(), ids=TOPOLOGIES.keys())
def test_a_few_repos_where_redis_has_another_shape(
    start: Callable[[], RedisCluster | RedisSentinel | RedisServer],
) -> None:
    with start() as redis:
        seen = run(cases(), redis, examples=10, repeatable=True).seen
    assert {"PRESENT", "NULL_VALUE", "NOT_FOUND"} <= seen.keys()


@pytest.mark.parametrize("case", replays.REPLAYS.values(), ids=replays.REPLAYS.keys())
def test_one_repo(case: Case, redis_server: Redis) -> None:
    check(case, redis_server, Comparison())
    redis_server.flush()
