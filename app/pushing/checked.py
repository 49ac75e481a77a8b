"""What the check of pushed rows found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.pushing.batch import RowBatch
from app.pushing.faults import RejectedRow, RowFault


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """The rows that may be written, `positions` saying which of the request's they are, and the others."""

    positions: Sequence[int]
    batch: RowBatch
    rejected: Sequence[RejectedRow]

    def __len__(self) -> int:
        return len(self.positions) + len(self.rejected)

    @classmethod
    def of_rejected(cls, position: int, faults: Sequence[RowFault]) -> CheckedRows:
        """One row that must not be written."""
        return cls((), RowBatch({}, (), ()), [RejectedRow(position, faults)])

    @classmethod
    def joined(cls, parts: Sequence[CheckedRows]) -> CheckedRows:
        """Parts that follow each other, made one."""
        if len(parts) == 1:
            return parts[0]
        valid = [part for part in parts if part.positions]
        return cls(
            [position for part in valid for position in part.positions],
            RowBatch.joined([part.batch for part in valid]) if valid else RowBatch({}, (), ()),
            [row for part in parts for row in part.rejected],
        )

    @classmethod
    def merged(cls, parts: Sequence[CheckedRows]) -> CheckedRows:
        """Parts whose rows are mixed up in the request, made one in its order."""
        joined = cls.joined(parts)
        order = sorted(range(len(joined.positions)), key=joined.positions.__getitem__)
        return cls(
            [joined.positions[place] for place in order],
            joined.batch.take(order),
            sorted(joined.rejected, key=lambda row: row.position),
        )
