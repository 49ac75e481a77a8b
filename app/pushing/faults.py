"""What can be wrong with a pushed row, in a word for programs and a sentence for people."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import FieldError

_MOST_FAULTS = 100


class FaultCode(enum.StrEnum):
    """Why a row is rejected; every fault of a row has one."""

    MISSING_COLUMN = "missing_column"
    UNKNOWN_COLUMN = "unknown_column"
    WRONG_TYPE = "wrong_type"
    """The value is not what the feature's type says, or the row is not an object."""
    OUT_OF_RANGE = "out_of_range"
    """The right type, but too large or too small for it, or not finite."""
    FUTURE_TIMESTAMP = "future_timestamp"
    """Further ahead of the server's clock than FRESHET_MAX_CLOCK_SKEW (rule 5)."""
    NULL_JOIN_KEY = "null_join_key"
    """Null, or an empty text."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """One fault; `column` is None where it is the row's own."""

    code: FaultCode
    text: str
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that must not be written: its position in the request, and everything that is wrong with it."""

    position: int
    faults: Sequence[RowFault]

    def field_errors(self) -> list[FieldError]:
        """The same faults as faults of a request."""
        where = f"rows[{self.position}]"
        return [FieldError(f"{where}.{fault.column}" if fault.column else where, str(fault)) for fault in self.faults]

    @property
    def reason(self) -> str:
        """All faults in one line, each after its code; of a row with very many the first."""
        shown = [str(fault) for fault in self.faults[:_MOST_FAULTS]]
        more = len(self.faults) - len(shown)
        return "; ".join([*shown, f"and {more} more"] if more else shown)
