"""docker-compose.yml without Docker: its services as processes of this machine.

    with NativeStack({"POSTGRES_PASSWORD": "s3cret"}) as stack:
        stack.up("api")                          # and all it depends on, as their conditions say
        httpx.get(stack.url("api", "/readyz"))
        stack.redis("redis").pause()             # a tests.servers.RedisServer; postgres("postgres") likewise
        stack.process("api").output()            # what it wrote so far
        assert stack.stop("api") == 0            # SIGTERM, its stop_grace_period; the exit status

The argument holds what ${...} in the file may refer to, as .env would; nothing else is read. What stays as in the file:
commands, environments, dependencies and their conditions, the health checks of the services that are ours. What is
different:

- `postgres` and `redis` images are the servers of tests/servers, with the user, password and database that the file's
  environment gives and the options of its command, from binaries of the image's major version if this machine has any.
- There is one network, loopback: `redis:6379`, `@postgres/` and *_HOST=postgres with its *_PORT become 127.0.0.1 and
  the port really used, in the environments; a published port becomes a free one in the command and health check of its
  own service. A command that listens on 0.0.0.0 does so here, too.
- A volume is a temporary folder, shared by the services that mount it.
- `freshet`, `python` and `sh` are those of this environment. The working directory is an empty folder, so that no .env
  of a developer is read.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self, TypeVar

from tests.servers import PostgresServer, RedisServer, find_postgres, find_redis
from tests.servers.binaries import Origin
from tests.servers.composefile import ComposeError, Service, read_compose_file
from tests.servers.errors import NoServerError
from tests.servers.ports import HOST, free_port
from tests.servers.process import GuardedProcess

COMPOSE_FILE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
_PORTS = {"postgres": 5432, "redis": 6379}
_PORTS_TO_TRY = 5


class _Versioned(Protocol):
    @property
    def version(self) -> str: ...


_Binary = TypeVar("_Binary", bound=_Versioned)


class NativeStack:
    """The services of one compose file. `seconds` is how long any one of them may take to be ready or complete."""

    def __init__(self, variables: Mapping[str, str], *, path: Path = COMPOSE_FILE, seconds: float = 120.0) -> None:
        self.services = read_compose_file(path, variables)
        self._seconds = seconds
        self._exit = ExitStack()
        self._folder = Path()
        self._servers: dict[str, PostgresServer | RedisServer] = {}
        self._processes: dict[str, GuardedProcess] = {}
        self._ports: dict[str, dict[int, int]] = {}

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-stack-"))
        self._exit.callback(shutil.rmtree, self._folder)
        (self._folder / "empty").mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        with self._exit:
            for name in self._processes:
                # One callback each, the latest first: they all run, whichever fails.
                self._exit.callback(self.stop, name)

    def up(self, *names: str) -> None:
        """Start the services and, first, those that they depend on; return once they are healthy or complete."""
        for name in names:
            if name in self._servers or name in self._processes:
                continue
            service = self.services[name]
            for needed, condition in service.depends_on.items():
                self.up(needed)
                if condition == "service_completed_successfully":
                    self.complete(needed)
            kind = service.image.split(":")[0]
            if kind == "postgres":
                self._add(service, self._postgres(service))
            elif kind == "redis":
                self._add(service, self._redis(service))
            else:
                self._start(service)

    def complete(self, name: str) -> None:
        """Wait until a one-shot service has ended with status 0."""
        process = self._processes[name]
        status = process.wait(self._seconds)
        if status != 0:
            how = f"ended with status {status}" if status is not None else f"has not ended after {self._seconds:g} s"
            raise ComposeError(f"{name} {how}. Its log ends:\n{process.tail()}")

    def stop(self, name: str) -> int:
        """End one of our own services as `docker compose stop` does; its exit status."""
        process = self._processes.pop(name)
        return process.stop(self.services[name].stop_grace_period)

    def process(self, name: str) -> GuardedProcess:
        return self._processes[name]

    def postgres(self, name: str) -> PostgresServer:
        server = self._servers[name]
        if not isinstance(server, PostgresServer):
            raise TypeError(f"{name} is not PostgreSQL")
        return server

    def redis(self, name: str) -> RedisServer:
        server = self._servers[name]
        if not isinstance(server, RedisServer):
            raise TypeError(f"{name} is not Redis")
        return server

    def url(self, name: str, path: str = "") -> str:
        """http://127.0.0.1:<the port really used> of a service with one published port."""
        (port,) = self._ports[name].values()
        return f"http://{HOST}:{port}{path}"

    def command(self, name: str) -> list[str]:
        """The service's command with the ports really used."""
        command, ports = self.services[name].command, self._ports.get(name, {})
        located: list[str] = []
        for before, part in zip(["", *command], command, strict=False):
            after_option = before == "--port" and part.isdigit()
            located.append(str(ports.get(int(part), part)) if after_option else self._own_ports(name, part))
        if ports and located == command:
            raise ComposeError(f"{name}: its command doesn't name the published port, so it can't be given another one")
        return located

    def environment(self, name: str) -> dict[str, str]:
        """The service's environment with the hosts, ports and folders really used."""
        service = self.services[name]
        environment = dict(service.environment)
        for other, ports in self._ports.items():
            for inside, outside in ports.items():
                environment = {
                    key: _located(value, other, inside, f"{HOST}:{outside}") for key, value in environment.items()
                }
                for key, value in service.environment.items():
                    if key.endswith("HOST") and value == other:
                        port = key.removesuffix("HOST") + "PORT"
                        if service.environment.get(port) != str(inside):
                            raise ComposeError(f"{name}: {key} is {other}, so {port} must be {inside}")
                        environment |= {key: HOST, port: str(outside)}
        for mounted, volume in service.volumes.items():
            folder = self._folder / volume
            folder.mkdir(exist_ok=True)
            environment = {
                key: re.sub(rf"^{re.escape(mounted)}(?=/|$)", str(folder), value) for key, value in environment.items()
            }
        return environment

    def run(self, name: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """`docker compose exec`: a command with the service's environment, its output captured."""
        program = shutil.which(argv[0], path=_path())
        if program is None:
            raise ComposeError(f"{argv[0]} is not in {_path()}")
        return subprocess.run(
            [program, *argv[1:]],
            env=self._complete_environment(name),
            cwd=self._folder / "empty",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self._seconds,
            check=False,
        )

    def _start(self, service: Service) -> None:
        for _ in range(_PORTS_TO_TRY):
            self._ports[service.name] = {inside: free_port() for inside in service.ports}
            program, *arguments = self.command(service.name)
            found = shutil.which(program, path=_path())
            if found is None:
                raise ComposeError(f"{service.name}: {program} is not in {_path()}")
            process = self._processes[service.name] = GuardedProcess(
                [found, *arguments],
                log=self._folder / f"{service.name}.log",
                environment=self._complete_environment(service.name),
                directory=self._folder / "empty",
                remove=[self._folder],
            )
            if not service.healthcheck or self._healthy(service, process):
                return
            status = self.stop(service.name)
            if "ddress already in use" not in process.output():
                raise ComposeError(f"{service.name} ended with status {status}. Its log ends:\n{process.tail()}")
        raise ComposeError(f"{service.name}: each of {_PORTS_TO_TRY} ports was taken before it could listen there")

    def _healthy(self, service: Service, process: GuardedProcess) -> bool:
        """Wait for the service's own health check to succeed; False if the process ends before."""
        check = [self._own_ports(service.name, part) for part in service.healthcheck]
        deadline = time.monotonic() + self._seconds
        while process.wait(0.1) is None:
            done = self.run(service.name, check)
            if done.returncode == 0:
                return True
            if time.monotonic() > deadline:
                raise ComposeError(
                    f"{service.name} is not healthy after {self._seconds:g} s: {done.stdout}{done.stderr}\n"
                    f"Its log ends:\n{process.tail()}"
                )
        return False

    def _add(self, service: Service, server: PostgresServer | RedisServer) -> None:
        self._exit.enter_context(server)
        self._servers[service.name] = server
        self._ports[service.name] = {_PORTS[service.image.split(":")[0]]: server.port}

    def _postgres(self, service: Service) -> PostgresServer:
        given = service.environment
        user = given.get("POSTGRES_USER", "postgres")
        if service.command:
            raise ComposeError(f"{service.name}: a command for PostgreSQL is not supported here")
        return PostgresServer(
            _nearest(find_postgres, service.image),
            durable=False,
            user=user,
            password=given["POSTGRES_PASSWORD"],
            database=given.get("POSTGRES_DB", user),
        )

    def _redis(self, service: Service) -> RedisServer:
        program, *options = service.command or ["redis-server"]
        if program != "redis-server":
            raise ComposeError(f"{service.name}: the command must begin with redis-server, not {program}")
        password = options[options.index("--requirepass") + 1] if "--requirepass" in options else None
        return RedisServer(_nearest(find_redis, service.image), password=password, options=options)

    def _own_ports(self, name: str, part: str) -> str:
        for inside, outside in self._ports.get(name, {}).items():
            part = re.sub(rf"(?<=[:=]){inside}\b", str(outside), part)
        return part

    def _complete_environment(self, name: str) -> dict[str, str]:
        base = {"PATH": _path(), "HOME": str(self._folder / "empty"), "LANG": "C.UTF-8"}
        return base | self.environment(name)


def _path() -> str:
    return f"{Path(sys.prefix) / 'bin'}{os.pathsep}/usr/local/bin:/usr/bin:/bin"


def _located(value: str, name: str, port: int, address: str) -> str:
    """`value` with name:port, and name as the host of a URL without a port, replaced by the address."""
    value = re.sub(rf"(?<![\w.-]){re.escape(name)}:{port}(?!\d)", address, value)
    return re.sub(rf"(?:(?<=@)|(?<=//)){re.escape(name)}(?=[/?]|$)", address, value) if "://" in value else value


def _nearest(find: Callable[[Origin | None], _Binary], image: str) -> _Binary:
    """The binary of the image's major version, else the one that the tests use anyway."""
    tag = image.partition(":")[2].split(".")[0]
    origins: tuple[Origin, ...] = ("system", "wheel")
    for origin in origins:
        try:
            found = find(origin)
        except NoServerError:
            continue
        if found.version.split(".")[0] == tag:
            return found
    return find(None)
