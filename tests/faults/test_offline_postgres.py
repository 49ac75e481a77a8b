"""PostgreSQL that dies, freezes or is cut off while an append commits: what was promised is there, once."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from app.errors import CommitUnknownError, ConfigurationError, StoreUnavailableError
from tests.contract.offline import OfflineCase, opened, sensors, write_offline_repo
from tests.faults.cutting_proxy import CuttingProxy
from tests.servers import Database, Postgres, PostgresServer

TIMEOUT = 2.0
"""Seconds that an append may take."""


@contextmanager
def behind(proxy: CuttingProxy, folder: Path, database: Database) -> Iterator[OfflineCase]:
    """The offline store over a proxy; what the case reads itself does not go through it."""
    write_offline_repo("postgres", folder, dataclasses.replace(database, port=proxy.port))
    with opened("postgres", folder, database, TIMEOUT) as case:
        yield case


@pytest.fixture
def proxy(postgres_database: Database) -> Iterator[CuttingProxy]:
    """A relay to the session's PostgreSQL."""
    with CuttingProxy(postgres_database.host, postgres_database.port) as proxy:
        yield proxy


@pytest.mark.parametrize("first", [True, False], ids=["first append", "later append"])
@pytest.mark.parametrize("delivers", [True, False], ids=["committed", "never arrived"])
def test_a_commit_whose_answer_is_lost_is_found_out(
    proxy: CuttingProxy, tmp_path: Path, postgres_database: Database, delivers: bool, first: bool
) -> None:
    with behind(proxy, tmp_path, postgres_database) as case:
        case.store.append_batch([case.view], sensors(1))
        if first:  # of a new connection, which commits once for itself before
            case.store.close()
            proxy.spares = 1
        proxy.cuts, proxy.delivers = 1, delivers
        case.store.append_batch([case.view], sensors(2))
        assert proxy.cuts == 0
        case.store.append_batch([case.view], sensors(3))
        assert case.sensors() == [1, 2, 3]


@pytest.mark.parametrize("delivers", [True, False], ids=["committed", "never arrived"])
def test_a_commit_that_cannot_be_asked_for_is_reported_as_unknown_and_not_tried_again(
    proxy: CuttingProxy, tmp_path: Path, postgres_database: Database, delivers: bool
) -> None:
    with behind(proxy, tmp_path, postgres_database) as case:
        case.store.append_batch([case.view], sensors(1))
        proxy.cuts, proxy.delivers, proxy.refuses_afterwards = 1, delivers, True
        begin = time.monotonic()
        with pytest.raises(CommitUnknownError, match="may be kept or not"):
            case.store.append_batch([case.view], sensors(2))
        assert time.monotonic() - begin < 3 * TIMEOUT
        assert case.sensors() == ([1, 2] if delivers else [1])


def test_a_role_that_may_not_make_tables_appends_but_cannot_ask(
    proxy: CuttingProxy, tmp_path: Path, postgres_database: Database
) -> None:
    role = f"writer_{postgres_database.name}"
    columns = "sensor_id bigint, raw_value float8, note text, ts timestamptz, made timestamptz"
    with psycopg.connect(postgres_database.url, autocommit=True) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        admin.execute(f"CREATE TABLE readings ({columns})")
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        admin.execute(f"GRANT SELECT, INSERT ON readings TO {role}")
        try:
            limited = dataclasses.replace(postgres_database, port=proxy.port, user=role, password="secret")
            write_offline_repo("postgres", tmp_path, limited)
            with opened("postgres", tmp_path, postgres_database, TIMEOUT) as case:
                case.store.append_batch([case.view], sensors(1))
                proxy.cuts = 1
                with pytest.raises(CommitUnknownError):
                    case.store.append_batch([case.view], sensors(2))
                admin.execute(f"REVOKE INSERT ON readings FROM {role}")
                with pytest.raises(ConfigurationError, match="permission denied"):
                    case.store.append_batch([case.view], sensors(3))
                admin.execute(f"GRANT INSERT ON readings TO {role}")
                case.store.append_batch([case.view], sensors(4))
                assert case.sensors() == [1, 2, 4]
        finally:
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


@pytest.fixture
def own(tmp_path: Path, private_postgres: PostgresServer) -> Iterator[OfflineCase]:
    """The offline store over a server that the test may kill."""
    database = private_postgres.create_database("features")
    write_offline_repo("postgres", tmp_path, database)
    with opened("postgres", tmp_path, database, TIMEOUT) as case:
        yield case


def test_connections_that_died_while_idle_cost_nobody_his_rows(
    own: OfflineCase, private_postgres: PostgresServer
) -> None:
    own.store.append_batch([own.view], sensors(1))
    private_postgres.restart()
    own.store.append_batch([own.view], sensors(2))
    private_postgres.kill()
    with pytest.raises(StoreUnavailableError):
        own.store.append_batch([own.view], sensors(3))
    private_postgres.start()
    own.store.append_batch([own.view], sensors(4))
    assert own.sensors() == [1, 2, 4]


def test_a_frozen_server_is_an_error_within_a_bound(own: OfflineCase, private_postgres: PostgresServer) -> None:
    own.store.append_batch([own.view], sensors(1))
    with private_postgres.paused(), ThreadPoolExecutor(6) as pool:
        begin = time.monotonic()
        # One finds an open connection, three open one, two wait for any.
        hung = [pool.submit(own.store.append_batch, [own.view], sensors(number)) for number in range(2, 8)]
        errors = [one.exception(timeout=60) for one in hung]
        assert time.monotonic() - begin < 3 * TIMEOUT + 1
    assert [type(error) for error in errors] == [StoreUnavailableError] * 6
    own.store.append_batch([own.view], sensors(9))
    assert own.sensors() == [1, 9]


def test_a_table_that_somebody_locks_is_an_error_within_a_bound(
    postgres: Postgres, postgres_database: Database, tmp_path: Path
) -> None:
    write_offline_repo("postgres", tmp_path, postgres_database)
    with opened("postgres", tmp_path, postgres_database, TIMEOUT) as case:
        case.store.append_batch([case.view], sensors(1))
        with psycopg.connect(postgres_database.url) as other:
            other.execute("LOCK TABLE readings")
            begin = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                case.store.append_batch([case.view], sensors(2))
            assert time.monotonic() - begin < 2 * TIMEOUT + 1
        case.store.append_batch([case.view], sensors(3))
        assert case.sensors() == [1, 3]


def test_a_server_killed_in_the_middle_of_commits_keeps_what_was_promised_once(
    own: OfflineCase, private_postgres: PostgresServer
) -> None:
    outcomes: dict[int, str] = {}

    def append(number: int) -> None:
        try:
            own.store.append_batch([own.view], sensors(number))
        except CommitUnknownError:
            outcomes[number] = "unknown"
        except StoreUnavailableError:
            outcomes[number] = "nothing kept"
        else:
            outcomes[number] = "kept"

    own.store.append_batch([own.view], sensors(-1))
    for round_ in range(5):
        with ThreadPoolExecutor(8) as pool:
            first = 10_000 * round_
            running = [pool.submit(append, number) for number in range(first, first + 600)]
            for one in running[: 100 + 20 * round_]:
                one.result()
            private_postgres.kill()
            private_postgres.start()
            for one in running:
                one.result()
    found = Counter(own.sensors())
    assert max(found.values()) == 1, "a row is there twice"
    assert {number for number, outcome in outcomes.items() if outcome == "kept"} <= found.keys()
    assert not {number for number, outcome in outcomes.items() if outcome == "nothing kept"} & found.keys()
    assert Counter(outcomes.values())["kept"] > 1000
