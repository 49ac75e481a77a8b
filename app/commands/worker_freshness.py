"""The freshness monitor of a worker, in a thread beside its jobs.

The repo is opened when the worker first holds the lease, and not before: `import feast` takes seconds and 200 MB.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.freshness.board import FreshnessBoard, monitored
from app.freshness.monitor import WORKER, Monitor
from app.freshness.snapshot import FreshnessSnapshot
from app.settings import Settings
from app.stores.leases import StoredLeases
from app.stores.metadata import MetadataStore
from app.stores.snapshots import StoredSnapshots

if TYPE_CHECKING:
    from app.commands.opened_repo import OpenedRepo

_SECONDS_AFTER_START = 2.0
"""The first job of a new worker goes first."""

IMPORTS = threading.Lock()
"""Held while Feast is imported: its modules import each other in circles, and of two threads that enter such a circle
from different sides one meets half a module."""


class WorkerFreshness:
    """Probes while the worker lives and holds the lease. It outlives its databases, and gets in no job's way."""

    def __init__(self, settings: Settings, metadata: MetadataStore, project: str) -> None:
        self._settings = settings
        self._metadata = metadata
        self._repo: OpenedRepo | None = None
        board = FreshnessBoard(lambda: datetime.now(UTC), settings.freshness_interval)
        leases, snapshots = StoredLeases(metadata, project), StoredSnapshots(metadata, project)
        self._monitor = Monitor(board, self._look, leases, snapshots, WORKER)
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)

    def start(self) -> None:
        """Begin, soon."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop, and give the lease back; False where that takes longer than `seconds`."""
        self._monitor.stop()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._monitor.run_until_stopped(_SECONDS_AFTER_START)
        if self._repo is not None:
            self._repo.close()

    def _look(self, before: FreshnessSnapshot | None) -> FreshnessSnapshot:
        if self._repo is None:
            with IMPORTS:
                from app.commands.opened_repo import OpenedRepo
            self._repo = OpenedRepo(self._settings, self._metadata)
        return self._repo.probe.look(monitored(self._repo.catalog()), before)
