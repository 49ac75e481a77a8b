"""The versions of everything that a result's bytes may depend on."""

from __future__ import annotations

import functools
import importlib.metadata
import platform


@functools.cache
def engine_versions() -> dict[str, str]:
    """Versions by name, in the order in which a manifest has them."""
    libraries = {name: importlib.metadata.version(name) for name in ("freshet", "feast", "duckdb", "pyarrow")}
    return {**libraries, "python": platform.python_version()}
