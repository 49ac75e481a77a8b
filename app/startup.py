"""What a process must settle before it imports prometheus_client or feast. This module imports neither."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import typeguard

_INHERITED = "_FRESHET_METRICS_DIR"
_NICE = 10
_FIRST_TO_GO = "500"


def prepare_metrics() -> str:
    """Point prometheus_client at a fresh directory, unless the parent process did; returns it.

    The first import of prometheus_client decides between memory and files, and feast would choose a directory of its
    own. The process that made the directory removes it when it ends.
    """
    directory = os.environ.get(_INHERITED)
    if directory is None:
        directory = tempfile.mkdtemp(prefix="freshet-metrics-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for variable in (_INHERITED, "PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
        os.environ[variable] = directory
    return directory


def import_feast_fast() -> None:
    """Let Feast's classes be imported without run-time type checks of their constructors.

    typeguard rewrites and compiles every decorated class when it is imported: `import feast` takes 5.0 s with that and
    1.7 s without (Python 3.11, one core). The checks help whoever writes definitions, so `freshet apply` keeps them.
    """

    def unchanged(target: Any = None, **_: Any) -> Any:
        return (lambda decorated: decorated) if target is None else target

    typeguard.typechecked = unchanged


def step_back() -> None:
    """Leave CPU and memory to whoever else wants them: neither the start of a worker nor its jobs should slow the
    server beside it, and where memory runs out, the system should end the worker."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
