"""Migrating the metadata database where several processes start at once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from app.settings import Settings
from app.stores.metadata import MetadataStore
from app.threads import DaemonThreads
from tests.servers import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[str]:
    """An empty database of each kind."""
    with postgres.database() if request.param == "postgres" else nullcontext() as database:
        yield database.sqlalchemy_url if database else f"sqlite:///{tmp_path / 'freshet.db'}"


def test_who_has_migrated_holds_up_nobody_who_found_it_to_do_as_well(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(database_url=url)
    first, second = MetadataStore(settings), MetadataStore(settings)
    threads = DaemonThreads("migrating", 1)
    assert first.upgrade()
    # As it looked to the second, before the first had finished.
    monkeypatch.setattr(second, "is_current", lambda: False)
    assert threads.submit(second.upgrade).result(timeout=30)
    assert not first.upgrade()
    threads.close()
    first.close()
    second.close()


def test_a_file_takes_one_sync_per_commit(tmp_path: Path) -> None:
    path = tmp_path / "freshet.db"
    store = MetadataStore(Settings(database_url=f"sqlite:///{path}"))
    store.upgrade()
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
