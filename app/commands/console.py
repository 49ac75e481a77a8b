"""What all commands share: where they print, their progress bars, and how they read times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.errors import FieldError, InvalidRequestError
from app.values import ValueFault, parse_timestamp

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)

Report = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """A progress bar on stderr with count, elapsed and remaining time; only a last line where that is no terminal."""
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, refresh_per_second=8) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def moment(text: str, option: str) -> datetime:
    """The time that an option gives, in UTC; a day alone is its midnight. Raises InvalidRequestError."""
    try:
        return parse_timestamp(text)
    except ValueFault as fault:
        raise InvalidRequestError(f"{option}: {fault}", [FieldError(option, str(fault))]) from None
