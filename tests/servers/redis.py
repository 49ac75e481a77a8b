"""Redis for the tests: one database on any server, and a server of our own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.binaries import RedisBinary, find_redis
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.errors import NoServerError, ServerError
from tests.servers.local import LocalServer
from tests.servers.process import GuardedProcess


class Redis:
    """A database of a running Redis server, whoever started it. The tests may flush it."""

    description: str

    def __init__(self, url: str, description: str) -> None:
        self._url = url
        self.description = description

    @property
    def url(self) -> str:
        """redis://[:password@]host:port/db; rediss://...?ssl_ca_certs=FILE with TLS"""
        return self._url

    @property
    def connection_string(self) -> str:
        """The same in Feast's form: host:port,db=0[,password=...][,ssl=true,ssl_ca_certs=FILE]."""
        parts = urlsplit(self.url)
        options = {"db": parts.path.strip("/") or "0"}
        if parts.username:
            options["username"] = unquote(parts.username)
        if parts.password:
            options["password"] = unquote(parts.password)
        if parts.scheme == "rediss":
            options["ssl"] = "true"
        options |= dict(parse_qsl(parts.query))
        return ",".join(
            [f"{parts.hostname}:{parts.port or 6379}", *(f"{key}={value}" for key, value in options.items())]
        )

    @property
    def online_store(self) -> dict[str, object]:
        """What feature_store.yaml says about it under `online_store`."""
        return {"type": "redis", "connection_string": self.connection_string}

    @contextmanager
    def client(self, timeout: float = 5.0, **options: Any) -> Iterator[redis.Redis]:
        """A client that never retries, closed at the end."""
        with redis.Redis.from_url(
            self.url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            **options,
        ) as client:
            yield client

    def command(self, *arguments: str | int | bytes) -> Any:
        """One command over a connection of its own."""
        with self.client() as client:
            untyped: Any = client
            return untyped.execute_command(*arguments)

    @staticmethod
    def about(client: redis.Redis) -> dict[str, Any]:
        """INFO server: redis_version, process_id..."""
        about: Any = client.info("server")  # typed as awaitable too: one signature for both kinds of client
        return dict(about)

    def flush(self) -> None:
        """Delete every key of this database, and no other's."""
        with self.client(timeout=30.0) as client:
            client.flushdb()


class RedisServer(Redis, LocalServer):
    """A server of our own: `with RedisServer() as server: ...`.

    It keeps everything in memory unless `appendonly`: then a restart finds what was written. `tls`: it takes nothing
    but TLS, with a certificate of an authority of its own. `options` are further arguments of redis-server, such as
    ["--maxmemory-policy", "noeviction"], and win over ours.
    """

    name = "redis"
    #: The nodes of a Cluster and Sentinels write their configuration through to the disk and answer nobody meanwhile:
    #: on a busy one for more than a second.
    in_memory = True

    def __init__(
        self,
        binary: RedisBinary | None = None,
        *,
        password: str | None = None,
        appendonly: bool = False,
        tls: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        LocalServer.__init__(self)
        self.binary = binary or find_redis()
        self.password = password
        self.certificates: Certificates | None = None
        self._appendonly = appendonly
        self._tls = tls
        self._options = list(options)
        self._program = self.binary.program
        Redis.__init__(self, "", self.binary.description)

    @property
    def url(self) -> str:
        credentials = f":{quote(self.password, safe='')}@" if self.password else ""
        address = f"{credentials}{self.host}:{self.port}/0"
        if self.certificates is None:
            return f"redis://{address}"
        return f"rediss://{address}?ssl_ca_certs={quote(str(self.certificates.authority))}"

    def _prepare(self, workspace: Path) -> None:
        self._program = self.binary.usable_by(self.account, workspace)
        if self._tls:
            self.certificates = make_certificates(workspace / "tls", self.host, self.account)

    def _arguments(self, workspace: Path) -> list[str | Path]:
        """What comes after the program's name."""
        argv: list[str | Path] = ["--bind", self.host, "--dir", workspace, "--daemonize", "no", "--save", ""]
        argv += ["--appendonly", "yes" if self._appendonly else "no"]
        if self.certificates is None:
            argv += ["--port", str(self.port)]
        else:
            argv += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            argv += ["--tls-ca-cert-file", self.certificates.authority]
            argv += ["--tls-cert-file", self.certificates.certificate, "--tls-key-file", self.certificates.key]
        if self.password:
            argv += ["--requirepass", self.password]
        return argv

    def _launch(self) -> None:
        try:
            super()._launch()
        except ServerError as error:
            if self._tls and "Bad directive" in str(error):
                raise NoServerError(
                    f"{self.description} was built without TLS, which this test needs. "
                    "Install the package `redis-server`: the one inside the development wheels has none."
                ) from None
            raise

    def _spawn(self) -> GuardedProcess:
        if self.workspace is None:
            raise ServerError("the server is used outside of its with block")
        return GuardedProcess(
            [self._program, *self._arguments(self.workspace), *self._options],
            log=self.workspace / "server.log",
            environment={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            directory=self.workspace,
            account=self.account,
            remove=[self.workspace],
        )

    def _discard(self, workspace: Path) -> None:
        pass  # Redis leaves nothing outside of its folder.

    def _answers(self) -> bool:
        try:
            with self.client(timeout=1.0) as client:
                return bool(self.about(client)["process_id"] == self.pid)
        except redis.RedisError:
            # Not there yet, or still loading its file, or a stranger on our port: then ours finds it taken and ends.
            return False
