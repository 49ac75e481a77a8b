"""What all commands share: where they print, their progress bars, and how they read times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from app.errors import FieldError, InvalidRequestError
from app.values import ValueFault, parse_timestamp

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)

Report = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """A progress bar on stderr with count, elapsed and remaining time, from the first report of something to do on."""
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=err, refresh_per_second=8)
    tasks: list[TaskID] = []

    def report(done: int, total: int) -> None:
        if total > 0 and not tasks:
            progress.start()
            tasks.append(progress.add_task(title, total=total))
        for task in tasks:
            progress.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        if tasks:
            progress.stop()


def moment(text: str, option: str) -> datetime:
    """The time that an option gives, in UTC; a day alone is its midnight. Raises InvalidRequestError."""
    try:
        return parse_timestamp(text)
    except ValueFault as fault:
        raise InvalidRequestError(f"{option}: {fault}", [FieldError(option, str(fault))]) from None


def past(text: str, option: str) -> datetime:
    """The same for a time that must not lie in the future."""
    at = moment(text, option)
    if at > datetime.now(UTC):
        message = f"{at:%Y-%m-%d %H:%M} UTC is in the future; its events have not happened"
        raise InvalidRequestError(f"{option}: {message}", [FieldError(option, message)])
    return at
