"""The skew monitor of a worker, in a thread beside its jobs and with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from app.commands.worker_imports import IMPORTS
from app.errors import FreshetError, StoreUnavailableError
from app.freshness.monitor import WORKER
from app.settings import Settings
from app.skew.findings import NAME
from app.stores.leases import StoredLeases
from app.stores.metadata import MetadataStore

if TYPE_CHECKING:
    from app.skew.monitor import SkewMonitor

log = structlog.get_logger(__name__)

T = TypeVar("T")

_SECONDS_AFTER_START = 5.0
"""The first job of a new worker goes first, and so does its first look at freshness."""
_SECONDS_BETWEEN_TRIES = 5.0


class WorkerSkew:
    """Looks for skew while the worker lives and holds the lease. The repo is opened when it first does."""

    def __init__(self, settings: Settings, metadata: MetadataStore, project: str) -> None:
        self._settings = settings
        self._metadata = metadata
        self._leases = StoredLeases(metadata, project)
        self._holder = str(uuid.uuid4())
        self._monitor: SkewMonitor | None = None
        self._seconds_to_next_try = _SECONDS_BETWEEN_TRIES
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skew", daemon=True)

    def start(self) -> None:
        """Begin, soon; unless the settings say that nobody should look."""
        if self._settings.skew_interval:
            self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop, and give the lease back; False where that takes longer than `seconds`."""
        self._stopping.set()
        if self._monitor is not None:
            self._monitor.stop()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failing, pause = "", min(self._settings.skew_interval.total_seconds(), _SECONDS_AFTER_START)
        with ExitStack() as opened:
            while not self._stopping.wait(pause):
                try:
                    pause = self._step(opened)
                    failing = ""
                except Exception as error:  # whatever it is, the worker must outlive it
                    reason = error.detail if isinstance(error, FreshetError) else type(error).__name__
                    if reason != failing:
                        log.warning("looking for skew has failed", reason=reason)
                    failing, pause = reason, self._seconds_to_next_try

    def _step(self, opened: ExitStack) -> float:
        """One turn; how many seconds to wait until the next."""
        if self._monitor is None:
            if not self._leases.take(NAME, self._holder, self._settings.skew_interval, WORKER):
                return _SECONDS_BETWEEN_TRIES
            try:
                self._monitor = self._open(opened)
            except Exception:
                # It may be this process alone that cannot; and a server that looks meanwhile must not be interrupted.
                self._give_back()
                self._seconds_to_next_try = self._settings.skew_interval.total_seconds()
                raise
            self._seconds_to_next_try = _SECONDS_BETWEEN_TRIES
            if self._stopping.is_set():  # since before there was a monitor to stop
                return 0.0
        self._monitor.run_once()
        return self._monitor.seconds_between_turns

    def _give_back(self) -> None:
        with suppress(Exception):  # one that is not given back ends by itself
            self._leases.give_back(NAME, self._holder)

    def _open(self, opened: ExitStack) -> SkewMonitor:
        with IMPORTS:
            from app.commands.opened_repo import OpenedRepo
            from app.skew_parts import skew_monitor
        repo = OpenedRepo(self._settings, self._metadata)
        opened.callback(repo.close)
        runner = opened.enter_context(asyncio.Runner())
        opened.callback(lambda: runner.run(repo.online.close_reads()))
        monitor = skew_monitor(
            self._settings,
            repo.repo,
            self._metadata,
            repo.catalog,
            repo.feast_views,
            repo.online,
            repo.online,
            lambda work: runner.run(_within(work, self._settings.sync_export_timeout)),
            WORKER,
            self._holder,
        )
        opened.callback(monitor.give_back)
        return monitor


async def _within(work: Coroutine[Any, Any, T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise StoreUnavailableError(f"The online store was not read within {seconds:g} s") from error
