"""freshet serve: the API, as one process or several."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from app.api.one_write import OneWriteProtocol
from app.commands.console import err
from app.commands.supervisor import supervised_worker
from app.errors import ConfigurationError
from app.logs import configure_logs
from app.settings import Settings
from app.stores.repo import open_repo

log = structlog.get_logger(__name__)


def serve(host: str, port: int, workers: int, worker: bool) -> None:
    """Check what can be checked in one line, then serve."""
    settings = Settings()
    with claimed(host, port, settings) as listener:
        # Opened here only for its error message: a worker could only show a traceback.
        open_repo(settings).close()
        run(listener, workers, settings, worker)


@contextlib.contextmanager
def claimed(host: str, port: int, settings: Settings) -> Iterator[socket.socket]:
    """The port, claimed before anything slow happens. Raises ConfigurationError where it cannot be had."""
    check_host(host, settings)
    with listen(host, port) as listener:
        yield listener


def check_host(host: str, settings: Settings) -> None:
    """Raise ConfigurationError for an address beyond loopback, unless the settings allow anonymous callers."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not settings.allow_anonymous:
        raise ConfigurationError(
            f"Refusing to listen on {host}: there are no API keys yet, so everyone who reaches that address could read "
            "and write every feature. Set FRESHET_ALLOW_ANONYMOUS=true where the network keeps strangers out"
        )


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ConfigurationError when the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Claims the port: two sockets may be bound with SO_REUSEADDR, but only one may listen.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}. Choose another port: "
            "`make run PORT=8001` or `freshet serve --port 8001`"
        ) from error
    listener.set_inheritable(True)
    return listener


def address(listener: socket.socket) -> str:
    """The URL at which the socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(listener: socket.socket, workers: int, settings: Settings, worker: bool) -> None:
    """Serve on the socket until told to stop; `worker`: beside one process for background jobs."""
    configure_logs(settings.log_format)
    log.info("serving", url=address(listener))
    config = uvicorn.Config(
        "app.main:worker_app",
        factory=True,
        workers=workers,
        http=OneWriteProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here asks for the client's address or scheme yet; the middleware costs every request.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
    with supervised_worker(worker):
        _serve(config, listener)


def _serve(config: uvicorn.Config, listener: socket.socket) -> None:
    if config.workers > 1:
        Multiprocess(config, sockets=[listener]).run()
        return
    server = uvicorn.Server(config)
    # uvicorn raises the signal once more when it has ended in good order, which would then end us with a bad status.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        err.print("Stopped.")
    if not server.started:
        raise ConfigurationError("The server could not start; the reason is above")
