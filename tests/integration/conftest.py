"""Both profiles of the bundled repo, with features computed and materialized, and a client for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.integration.profiles import PROFILES, Profile, opened
from tests.servers import Postgres, Redis


@pytest.fixture(scope="module", params=PROFILES)
def profile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, redis_server: Redis
) -> Iterator[Profile]:
    """The embedded and the production profile in turn."""
    with (
        postgres.database() as database,
        opened(request.param, tmp_path_factory.mktemp("data"), database, redis_server) as profile,
    ):
        yield profile


@pytest.fixture(scope="module")
def client(profile: Profile) -> Iterator[TestClient]:
    """A client of an application over the profile."""
    with profile.client() as client:
        yield client
