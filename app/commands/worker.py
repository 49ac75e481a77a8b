"""freshet worker: background jobs, in a process of their own."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType

from app.commands.worker_freshness import IMPORTS, WorkerFreshness
from app.job import JobKind
from app.jobs.attempts import Kinds
from app.jobs.worker import Worker
from app.logs import configure_logs
from app.settings import Settings
from app.stores.feature_store_yaml import project_of
from app.stores.metadata import MetadataStore, open_metadata

_SECONDS_TO_STOP = 10.0
_SECONDS_TO_STOP_BESIDE = 2.0


def worker(supervised: bool) -> None:
    """Run jobs until SIGTERM or Ctrl-C; `supervised`: until standard input closes, too."""
    settings = Settings()
    configure_logs(settings.log_format)
    run(settings, lambda: job_kinds(settings), supervised, WorkerFreshness)


def job_kinds(settings: Settings) -> dict[str, JobKind]:
    """Every kind of job, opened: what takes seconds to import is imported here, when the first job comes."""
    with IMPORTS:
        from app.commands.export_kind import export_kind

    return {"export": export_kind(settings)}


def run(
    settings: Settings,
    kinds: Callable[[], Kinds],
    supervised: bool = False,
    freshness: Callable[[Settings, MetadataStore, str], WorkerFreshness] | None = None,
) -> None:
    """A worker for these kinds, and what it does beside them. Raises ConfigurationError, in one line, where the
    settings cannot work."""
    project = project_of(settings)
    metadata = open_metadata(settings)
    made = Worker(settings, metadata, project, kinds, functools.partial(datetime.now, UTC))
    _stop_at_signals(made)
    if supervised:
        threading.Thread(target=_stop_with_parent, args=(made,), name="parent", daemon=True).start()
    beside = freshness(settings, metadata, project) if freshness else None
    if beside:
        beside.start()
    stopped = made.run()
    if beside:
        stopped = beside.stop(_SECONDS_TO_STOP_BESIDE) and stopped
    metadata.close()
    if not stopped:
        # A thread is inside some library; to end Python around it could abort the process.
        _leave(0)


def _stop_at_signals(made: Worker) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        made.stop()
        _leave_in_time()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _stop_with_parent(made: Worker) -> None:
    """The other end of the pipe closes when the parent ends, by whatever death."""
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    made.stop()
    _leave_in_time()


def _leave_in_time() -> None:
    """End the process even where a database hangs; what it was at is then found as that of a dead worker."""
    timer = threading.Timer(_SECONDS_TO_STOP, _leave, (1,))
    timer.daemon = True
    timer.start()


def _leave(status: int) -> None:
    sys.stderr.flush()
    os._exit(status)
