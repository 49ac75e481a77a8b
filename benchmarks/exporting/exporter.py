"""`python -m benchmarks.exporting.exporter`: one contestant in a process of its own, whose peak memory is its own.

Writes a line of JSON when it is ready and one for each export that is complete.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

Export = Callable[[Path, Path], None]
"""From the file of a spine to the file of a result, which is complete at the end."""


def main() -> None:
    """Open the repo, export, and say how long it took, in seconds, and how much memory, in bytes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contestant", choices=["freshet", "feast", "bare"])
    for name in ("--repo", "--spine", "--target"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--again", action="store_true", help="export until somebody ends it")
    parser.add_argument("--nice", type=int, default=0)
    given = parser.parse_args()
    os.nice(given.nice)
    if given.contestant == "freshet":
        # As Freshet's own processes begin, before anything imports feast.
        from app.startup import import_feast_fast

        import_feast_fast()
    with importlib.import_module(f"benchmarks.exporting.{given.contestant}").opened(given.repo) as export:
        _say(base=_memory("VmRSS"))
        while True:
            start = time.perf_counter()
            export(given.spine, given.target)
            _say(seconds=time.perf_counter() - start, peak=_memory("VmHWM"))
            if not given.again:
                return


def _say(**found: float) -> None:
    print(json.dumps(found), flush=True)


def _memory(what: str) -> int:
    """As proc(5) calls it, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in status if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
