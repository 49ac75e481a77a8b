"""Progress bars on stderr, while a run takes its minutes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich import progress
from rich.console import Console

console = Console()
"""Results, on stdout."""
err = Console(stderr=True)
"""Progress and complaints."""


class Progress:
    """Bars for the steps of one run."""

    def __init__(self) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            console=err,
            # Each redraw takes CPU from what is measured.
            refresh_per_second=1,
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextlib.contextmanager
    def task(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar inside the with block; what it yields moves it on by that many."""
        task = self._bars.add_task(what, total=total)

        def advance(count: int) -> None:
            self._bars.advance(task, count)

        yield advance
        self._bars.update(task, total=total or 1, completed=total or 1)
        self._bars.stop_task(task)

    def say(self, line: str) -> None:
        """A line above the bars."""
        self._bars.console.print(line, highlight=False)
