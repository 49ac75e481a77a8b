"""`freshet` with its calls counted: `python -m benchmarks.profiled FILE serve --port 8000` writes FILE at the end."""

from __future__ import annotations

import contextlib
import cProfile
import signal
import sys


def main() -> None:
    """Run the command line of Freshet; from SIGUSR1 on, cProfile counts in the main thread, that of the event loop."""
    file = sys.argv.pop(1)
    from app import cli

    profiler = cProfile.Profile()
    # Not from the start: importing Feast would fill the table.
    signal.signal(signal.SIGUSR1, lambda number, frame: profiler.enable())
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        cli.main()
    profiler.disable()
    profiler.dump_stats(file)


if __name__ == "__main__":
    main()
