"""PostgreSQL for the tests: databases on any server, and a server of our own."""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL

from tests.servers.binaries import PostgresBinaries, find_postgres
from tests.servers.errors import ServerError
from tests.servers.local import LocalServer
from tests.servers.process import GuardedProcess
from tests.servers.sharedmemory import remove_shared_memory

_SOCKET_PATH_LIMIT = 107
_STATUS_LINE = 7  # of postmaster.pid
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Database:
    """One database and how to reach it."""

    name: str
    host: str
    port: int
    user: str
    password: str
    url: str
    """postgresql://..., for psycopg, ADBC and DuckDB"""
    sqlalchemy_url: str
    """postgresql+psycopg://..."""

    @property
    def feast_store(self) -> dict[str, object]:
        """What feature_store.yaml says of it, as an online or an offline store."""
        return {
            "type": "postgres",
            "host": self.host,
            "port": self.port,
            "database": self.name,
            "user": self.user,
            "password": self.password,
            "sslmode": "prefer",
        }


class Postgres:
    """A running PostgreSQL server, whoever started it."""

    def __init__(self, base: URL, description: str) -> None:
        self._base = base
        self.description = description

    def url(self, database: str | None = None) -> str:
        """postgresql://... to `database`, or to the one that administers the server."""
        return self._url("postgresql", database)

    def sqlalchemy_url(self, database: str | None = None) -> str:
        """postgresql+psycopg://... to `database`, or to the one that administers the server."""
        return self._url("postgresql+psycopg", database)

    def create_database(self, name: str) -> Database:
        self._administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return Database(
            name=name,
            host=self._base.host or "127.0.0.1",
            port=self._base.port or 5432,
            user=self._base.username or "",
            password=str(self._base.password or ""),
            url=self.url(name),
            sqlalchemy_url=self.sqlalchemy_url(name),
        )

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A fresh database with a name that nobody else uses, dropped at the end."""
        database = self.create_database(f"freshet_test_{secrets.token_hex(6)}")
        try:
            yield database
        finally:
            self.drop_database(database.name)

    def _url(self, driver: str, database: str | None) -> str:
        url = self._base.set(drivername=driver)
        return (url.set(database=database) if database else url).render_as_string(hide_password=False)

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement)


class PostgresServer(Postgres, LocalServer):
    """A server of our own: `with PostgresServer() as server: ...`.

    durable=False leaves out fsync, which is faster and loses nothing when the server alone is killed. `settings` are
    parameters of postgresql.conf (timezone is UTC unless they say otherwise). `database` is created with the server.
    """

    name = "pg"

    def __init__(
        self,
        binaries: PostgresBinaries | None = None,
        *,
        durable: bool = True,
        user: str = "freshet",
        password: str | None = None,
        database: str = "postgres",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        LocalServer.__init__(self)
        self.binaries = binaries or find_postgres()
        self.user = user
        self.password = password or secrets.token_urlsafe(12)
        self._database = database
        self._settings = {
            # Neither /dev/shm, which containers keep small, nor anything else outside of our folder.
            "dynamic_shared_memory_type": "mmap",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if durable else _NOT_DURABLE),
            **(settings or {}),
        }
        self._programs = self.binaries.folder
        Postgres.__init__(self, self._url_at(0), self.binaries.description)

    def _prepare(self, workspace: Path) -> None:
        self._programs = self.binaries.usable_by(self.account, workspace)
        secret = workspace / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password + "\n")
        if self.account:
            os.chown(secret, self.account.uid, self.account.gid)
        argv = [self._programs / "initdb", "-D", workspace / "data", "-U", self.user, "--auth=scram-sha-256"]
        argv += [f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [str(part) for part in argv],
            cwd=workspace,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )
        if done.returncode != 0:
            raise ServerError(f"initdb of {self.binaries.description} failed:\n{done.stdout}")

    def _spawn(self) -> GuardedProcess:
        workspace = self._folder
        self._base = self._url_at(self.port)
        socket = f"{workspace}/.s.PGSQL.{self.port}"
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(workspace) if len(os.fsencode(socket)) <= _SOCKET_PATH_LIMIT else "",
            **self._settings,
        }
        argv: list[str | Path] = [self._programs / "postgres", "-D", workspace / "data"]
        for parameter, value in settings.items():
            argv += ["-c", f"{parameter}={value}"]
        return GuardedProcess(
            argv,
            log=workspace / "server.log",
            environment=self._environment(),
            directory=workspace,
            account=self.account,
            stop_signal=signal.SIGINT,  # a fast shutdown: it doesn't wait for its clients
            quit_signal=signal.SIGQUIT,
            remove=[workspace],
        )

    def _answers(self) -> bool:
        if not self._says_ready():
            return False
        try:
            with psycopg.connect(self._url("postgresql", "postgres"), autocommit=True, connect_timeout=5) as connection:
                answer = connection.execute("SELECT current_setting('data_directory')").fetchone()
                if answer != (str(self._folder / "data"),):
                    return False
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self._database]).fetchone()
                if known is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._database)))
        except psycopg.OperationalError:
            return False
        return True

    def _says_ready(self) -> bool:
        """What the postmaster writes about itself; a stranger on the same port is not asked, who might not answer."""
        try:
            lines = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready" and lines[0] == str(self.pid)

    def _discard(self, workspace: Path) -> None:
        remove_shared_memory(workspace / "data" / "postmaster.pid")

    @property
    def _folder(self) -> Path:
        if self.workspace is None:
            raise ServerError("the server is used outside of its with block")
        return self.workspace

    def _url_at(self, port: int) -> URL:
        return URL.create("postgresql", self.user, self.password, self.host, port or None, self._database)

    def _environment(self) -> dict[str, str]:
        """Nothing of ours: its messages in English, its files in UTC, no PG* variable."""
        return {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
