"""`freshet` with its calls counted: `python -m benchmarks.profiled FILE serve --port 8000` writes FILE at the end."""

from __future__ import annotations

import contextlib
import cProfile
import sys


def main() -> None:
    """Run the command line of Freshet under cProfile, which sees the main thread: the event loop."""
    file = sys.argv.pop(1)
    from app import cli

    profiler = cProfile.Profile()
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        profiler.runcall(cli.main)
    profiler.dump_stats(file)


if __name__ == "__main__":
    main()
