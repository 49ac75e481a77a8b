"""What keeps a command from starting: one clear line on stderr, exit status 1, no traceback, no secret."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.sample import write_sample_events
from tests.faults.starts import NOBODY_THERE, PASSWORD, broken, check, defining
from tests.integration.server_process import run, run_here
from tests.servers import Database

# Root may write everywhere; without its capabilities the permissions of a folder bind it, too.
WITHOUT_CAPABILITIES = """
import ctypes, os, sys
for capability in range(64):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""
RAISING = """\
def view():
    # What goes wrong is on the fourth line,
    # called from the fifth.
    raise RuntimeError("no luck")
view()
"""
ORDINARY_USER = (sys.executable, "-c", WITHOUT_CAPABILITIES) if os.geteuid() == 0 else ()


@dataclass(frozen=True)
class Start:
    """A command that cannot start, and what its line must say."""

    arguments: tuple[str, ...]
    says: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()


def starts(folder: Path, taken: str, read_only: Path) -> dict[str, Start]:
    """One of each kind."""
    closed = {"FRESHET_DATA_DIR": str(read_only)}
    return {
        "a taken port": Start(("up", "--port", taken), (f"127.0.0.1:{taken}", "in use", "PORT=")),
        "a read-only data folder": Start(
            ("up", "--port", "0"), (str(read_only), "Permission denied", "FRESHET_DATA_DIR"), closed, ORDINARY_USER
        ),
        "a read-only registry": Start(("compute",), (str(read_only), "Permission denied"), closed, ORDINARY_USER),
        "not YAML": Start(
            ("up", "--port", "0"),
            ("feature_store.yaml, line 3", "YAML"),
            broken(folder / "not-yaml", "provider: local", "provider: [local"),
        ),
        "definitions that raise": Start(
            ("apply",),
            (f"{folder}/raise/definitions.py, line 4: RuntimeError: no luck",),
            defining(folder / "raise", RAISING),
        ),
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Start, subprocess.CompletedProcess[str]]]:
    """What real processes say, two at a time: each takes seconds to import Feast."""
    folder = tmp_path_factory.mktemp("starts")
    read_only = folder / "read-only"
    read_only.mkdir()
    read_only.chmod(0o555)

    def started(start: Start) -> subprocess.CompletedProcess[str]:
        environment = {"FRESHET_DATA_DIR": str(folder / "data"), **start.environment}
        return run(*start.arguments, environment=environment, folder=folder, before=start.before)

    with closing(socket.create_server(("127.0.0.1", 0))) as owner, ThreadPoolExecutor(2) as pool:
        wanted = starts(folder, str(owner.getsockname()[1]), read_only)
        results = list(pool.map(started, wanted.values()))
    return {name: (wanted[name], result) for name, result in zip(wanted, results, strict=True)}


@pytest.mark.parametrize(
    "name",
    ["a taken port", "a read-only data folder", "a read-only registry", "not YAML", "definitions that raise"],
)
def test_as_a_process(name: str, done: dict[str, tuple[Start, subprocess.CompletedProcess[str]]]) -> None:
    start, result = done[name]
    check(result, *start.says)


SETTINGS = {
    "FRESHET_MAX_ENTITIES": "zero",
    "FRESHET_MAX_PUSH_ROWS": "0",
    "FRESHET_LOG_FORMAT": "xml",
    "FRESHET_ALLOW_ANONYMOUS": "perhaps",
    "FRESHET_MAX_CLOCK_SKEW": "soon",
    "FRESHET_SHUTDOWN_DELAY": "-1",
    "FRESHET_ONLINE_TIMEOUT": "0",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_cannot_be(name: str, tmp_path: Path) -> None:
    environment = {"FRESHET_DATA_DIR": str(tmp_path), name: SETTINGS[name]}
    check(run_here("serve", "--port", "0", environment=environment), f"{name}: ")


@pytest.mark.parametrize("command", ["serve", "up"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_beyond_loopback_only_where_anonymous_callers_are_allowed(command: str, host: str, tmp_path: Path) -> None:
    environment = {"FRESHET_DATA_DIR": str(tmp_path / "data")}
    check(
        run_here(command, "--host", host, "--port", "0", environment=environment),
        f"listen on {host}:", "FRESHET_ALLOW_ANONYMOUS",
    )  # fmt: skip
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    environment = {"FRESHET_DATA_DIR": str(tmp_path), "FRESHET_ALLOW_ANONYMOUS": "true"}
    check(run_here("serve", "--host", "192.0.2.1", "--port", "0", environment=environment), "192.0.2.1:0", "assign")


COMMANDS = {
    "up": ("up", "--port", "0"),
    "serve": ("serve", "--port", "0"),
    "apply": ("apply",),
    "compute": ("compute",),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("folder", ["/proc/freshet", "{tmp}/file", "{tmp}/file/below"])
def test_a_data_folder_that_cannot_be_made(command: str, folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    data = folder.format(tmp=tmp_path)
    check(run_here(*COMMANDS[command], environment={"FRESHET_DATA_DIR": data}), data, "cannot be")


@pytest.mark.parametrize("command", ["apply", "serve", "compute"])
def test_a_registry_that_does_not_answer(command: str, tmp_path: Path) -> None:
    environment = broken(tmp_path / "repo", "sqlite:///data/registry.db", NOBODY_THERE)
    check(run_here(*COMMANDS[command], environment=environment), "feature_store.yaml", "registry")


@pytest.mark.parametrize("command", [("db", "upgrade"), ("compute",), ("materialize",), ("up", "--port", "0")])
def test_a_metadata_database_that_does_not_answer(command: tuple[str, ...], tmp_path: Path) -> None:
    embedded = {"FRESHET_DATA_DIR": str(tmp_path)}
    assert run_here("apply", environment=embedded).returncode == 0
    done = run_here(*command, environment={**embedded, "FRESHET_DATABASE_URL": NOBODY_THERE})
    check(done, "metadata database", "PostgreSQL", "FRESHET_DATABASE_URL")


@pytest.mark.parametrize("command", [("compute",), ("materialize",), ("up", "--port", "0")])
def test_a_metadata_database_that_was_never_migrated(
    command: tuple[str, ...], tmp_path: Path, postgres_database: Database
) -> None:
    embedded = {"FRESHET_DATA_DIR": str(tmp_path)}
    assert run_here("apply", environment=embedded).returncode == 0
    write_sample_events(tmp_path / "events", datetime(2026, 1, 2, tzinfo=UTC), lambda done, days: None)
    done = run_here(*command, environment={**embedded, "FRESHET_DATABASE_URL": postgres_database.sqlalchemy_url})
    check(done, "metadata database", "freshet db upgrade")


@pytest.mark.parametrize("url", ["nonsense", f"oracle://u:{PASSWORD}@127.0.0.1/x"])
def test_a_url_that_is_no_database(url: str, tmp_path: Path) -> None:
    environment = {"FRESHET_DATA_DIR": str(tmp_path), "FRESHET_DATABASE_URL": url}
    check(run_here("db", "upgrade", environment=environment), "FRESHET_DATABASE_URL")


def test_a_metadata_database_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "freshet.db").write_text("this is not a database\n" * 100)
    check(run_here("db", "upgrade", environment={"FRESHET_DATA_DIR": str(tmp_path)}), "metadata database", "SQLite")
