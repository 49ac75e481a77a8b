"""Both profiles of the bundled repo, with features computed and materialized, and a client for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.integration.feast_world import World, opened
from tests.integration.profiles import PROFILES, Profile, prepared
from tests.servers import Postgres, RedisServer


@pytest.fixture(scope="package", params=PROFILES)
def shared_profile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[Profile]:
    """Each profile once, because it takes seconds, and on a Redis that no other test flushes."""
    with postgres.database() as database, RedisServer() as redis:
        yield prepared(request.param, tmp_path_factory.mktemp("data"), database, redis)


@pytest.fixture(scope="module")
def profile(shared_profile: Profile) -> Iterator[Profile]:
    """The embedded and the production profile in turn. Other modules push to it as well: use users of your own."""
    with shared_profile.entered():
        yield shared_profile


@pytest.fixture(scope="module")
def client(profile: Profile) -> Iterator[TestClient]:
    """A client of an application over the profile."""
    with profile.client() as client:
        yield client


@pytest.fixture(scope="package", params=["sqlite", "redis"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A served repo and Feast's SDK, over SQLite and over a Redis that no other test flushes, in turn."""
    folder = tmp_path_factory.mktemp("wire")
    if request.param == "sqlite":
        with opened(folder, {"type": "sqlite", "path": str(folder / "repo/data/online.db")}) as world:
            yield world
    else:
        with RedisServer() as redis, opened(folder, redis.online_store) as world:
            yield world
