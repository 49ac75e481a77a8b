"""The machine and the programs of a run, in words that name nobody's computer."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.load import have_wrk

_PACKAGES = ["freshet", "feast", "fastapi", "uvicorn", "uvloop", "httptools", "redis", "hiredis", "orjson"]
_EXPORT_PACKAGES = ["freshet", "feast", "duckdb", "pyarrow", "adbc-driver-postgresql", "pandas"]


def describe(command: str, exports: bool = False) -> dict[str, str]:
    """Date, command, machine, and the versions that matter to requests or to exports."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "machine": f"{os.cpu_count()} cores of {_processor()}, {psutil.virtual_memory().total / 2**30:.0f} GB memory, "
        f"{platform.system()} {platform.release().split('-')[0]}",
        "other load": f"{os.getloadavg()[0]:.1f} (load average of the minute before)",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in (_EXPORT_PACKAGES if exports else _PACKAGES)),
        "generator": _wrk_version() if have_wrk() else "the one in benchmarks/client.py",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _wrk_version() -> str:
    # It has no option that prints its version alone, and ends with 1 when it shows how it is used.
    done = subprocess.run(["wrk", "--version"], capture_output=True, text=True, timeout=10, check=False)
    words = (done.stdout + done.stderr).split()
    return " ".join(words[:2])
