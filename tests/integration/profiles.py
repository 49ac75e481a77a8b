"""The two profiles of the bundled repo, set up as `freshet up` does it, for tests that talk HTTP to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.commands.up import set_up
from app.main import create_app
from app.settings import Settings
from app.stores.repo import open_repo
from tests.servers import Database, Redis

PROFILES = ["embedded", "production"]


@dataclass(frozen=True)
class Profile:
    """A profile with data in it: settings to open it with, and the environment that a process would need."""

    name: str
    settings: Settings
    environment: dict[str, str]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Its environment in this process, where whatever opens its repo finds it."""
        with _patched(self.environment):
            yield

    @contextmanager
    def client(self, **changed: object) -> Iterator[TestClient]:
        """An application over the profile, in this process; settings may differ from the profile's."""
        settings = self.settings.model_copy(update=changed)
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            yield client


def production_environment(
    database: Database, redis: Redis, yaml: str = "feature_store.production.yaml"
) -> dict[str, str]:
    """What the production profile reads from the environment, over the given servers."""
    return {
        "FRESHET_FEATURE_STORE_YAML": yaml,
        "FRESHET_DATABASE_URL": database.sqlalchemy_url,
        "FRESHET_AUTO_MIGRATE": "true",
        "FRESHET_REGISTRY_URL": database.sqlalchemy_url,
        "REDIS_CONNECTION_STRING": redis.connection_string,
        "POSTGRES_HOST": database.host,
        "POSTGRES_PORT": str(database.port),
        "POSTGRES_DB": database.name,
        "POSTGRES_USER": database.user,
        "POSTGRES_PASSWORD": database.password or "none",
    }


def prepared(name: str, folder: Path, database: Database, redis: Redis, repo: Path | None = None) -> Profile:
    """The bundled repo (or `repo`) applied, computed and materialized in `folder` or on the servers."""
    environment = {"FRESHET_DATA_DIR": str(folder)}
    if repo is not None:
        environment["FRESHET_FEATURE_REPO"] = str(repo)
    if name == "production":
        environment |= production_environment(database, redis)
        redis.flush()
    with _patched(environment):
        # Reads must not fail on a busy machine; the tests of the deadline set their own.
        settings = Settings(online_timeout=5.0, registry_refresh_interval=0.2)
        feast_repo = open_repo(settings)
        set_up(settings, feast_repo)
        feast_repo.close()
    return Profile(name, settings, environment)


@contextmanager
def opened(name: str, folder: Path, database: Database, redis: Redis, repo: Path | None = None) -> Iterator[Profile]:
    """The same, with its environment in this process, for one test or module alone."""
    profile = prepared(name, folder, database, redis, repo)
    with profile.entered():
        yield profile
    if name == "production":
        redis.flush()


@contextmanager
def _patched(environment: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        yield
