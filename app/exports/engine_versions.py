"""The versions of everything that a result's bytes may depend on."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys


@functools.cache
def engine_versions() -> dict[str, str]:
    """Versions by name, in the order in which a manifest has them."""
    # Spark's is loaded where the rows come from there.
    names = ["freshet", "feast", "duckdb", "pyarrow", *(["pyspark"] if "pyspark" in sys.modules else [])]
    libraries = {name: importlib.metadata.version(name) for name in names}
    return {**libraries, "python": platform.python_version()}
