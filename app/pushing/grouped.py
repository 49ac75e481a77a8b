"""One push of a group: its rows on their way, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain import PushOutcome, PushTarget
from app.errors import FreshetError
from app.pushing.batch import RowBatch
from app.pushing.checked import CheckedRows


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of every row, in the order of the request, and why where that needs saying (by position)."""

    outcomes: Sequence[PushOutcome]
    reasons: Mapping[int, str]


@dataclass(slots=True, eq=False)
class GroupedPush:
    """One push of a group: the rows that were found valid or not, where they go, and whether all or none of them do."""

    checked: CheckedRows
    target: PushTarget
    atomic: bool = False
    stamp: int | None = None
    """The first created timestamp of rows without one, where it was given before (app.pushing.keys)."""
    again: bool = False
    """Whether somebody may have written its rows before, with these stamps."""
    batch: RowBatch = field(init=False)
    """The valid rows, stamped."""
    places: list[int] = field(init=False)
    """Which of the valid rows `batch` still holds: those that the offline store cannot keep leave it."""
    unkept: Sequence[int] = field(init=False)
    """The places in `batch` of the rows that are to be appended offline."""
    outcomes: list[PushOutcome] = field(init=False)
    """By valid row."""
    reasons: dict[int, str] = field(default_factory=dict)
    """By valid row, where one needs saying."""
    error: FreshetError | None = None
    owed: bool = False
    """Whether its rows may be kept offline and are not online."""

    def fail(self, error: FreshetError) -> None:
        """Let it end with this error."""
        self.error = error

    def result(self) -> PushResult:
        """What became of the rows, in the order of the request."""
        positions, rejected = self.checked.positions, self.checked.rejected
        reasons = {positions[place]: reason for place, reason in self.reasons.items()}
        if not rejected:
            return PushResult(self.outcomes, reasons)
        every = [PushOutcome.REJECTED] * len(self.checked)
        for position, outcome in zip(positions, self.outcomes, strict=True):
            every[position] = outcome
        reasons.update((row.position, row.reason) for row in rejected)
        return PushResult(every, reasons)
