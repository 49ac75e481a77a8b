"""The directory through which the processes of one server share their metrics. Imports nothing that imports metrics."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_INHERITED = "_FRESHET_METRICS_DIR"


def prepare() -> str:
    """Point prometheus_client at a fresh directory, unless the parent process did; returns it.

    Must run before prometheus_client or feast are imported: the first import decides between memory and files, and
    feast would choose a directory of its own. The process that made the directory removes it when it ends.
    """
    directory = os.environ.get(_INHERITED)
    if directory is None:
        directory = tempfile.mkdtemp(prefix="freshet-metrics-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for variable in (_INHERITED, "PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
        os.environ[variable] = directory
    return directory
