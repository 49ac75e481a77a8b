"""An online store that is broken or gone is a StoreUnavailableError, whoever wrote its adapter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import StoreUnavailableError
from tests.contract.conftest import opened, row, trip
from tests.servers import PostgresServer

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    with opened(tmp_path, {"type": "sqlite", "path": "data/online.db"}) as case:
        key = trip()
        case.write(row(key, NOON, 1.0))
        case.store.close()
        for file in (tmp_path / "data").glob("online.db*"):
            file.write_bytes(b"no database at all, but long enough to be taken for the header of one" * 100)
        with pytest.raises(StoreUnavailableError, match="cannot be used"):
            case.read(key)


def test_a_store_behind_feasts_interface_that_is_gone(tmp_path: Path) -> None:
    with PostgresServer() as server, server.database() as database, opened(tmp_path, database.feast_store) as case:
        key = trip()
        case.write(row(key, NOON, 1.0))
        assert case.read(key) != [None]
        server.kill()
        with pytest.raises(StoreUnavailableError, match="The online store failed") as error:
            case.read(key)
        assert str(database.password) not in error.value.detail
        server.restart()
