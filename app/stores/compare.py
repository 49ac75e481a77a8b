"""Rule 4 in one place: may this row replace what is stored?

The Redis script (app/stores/compare.lua) decides the same way inside the server; the contract suite runs both against
the same cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain import PushOutcome


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as an online store keeps it: times in microseconds since 1970, serialized values by feature name."""

    event: int
    created: int | None
    values: Mapping[str, bytes]


def judge(stored: Stored | None, row: Stored) -> PushOutcome:
    """What becomes of `row` where `stored` is.

    The newer event timestamp wins; at equal ones the newer created timestamp, where none counts as the oldest. With
    both equal, other values are a correction and are applied; the same values are a duplicate.
    """
    if stored is None:
        return PushOutcome.APPLIED
    if row.event != stored.event:
        return PushOutcome.APPLIED if row.event > stored.event else PushOutcome.LATE
    if row.created != stored.created:
        newer = stored.created is None or (row.created is not None and row.created > stored.created)
        return PushOutcome.APPLIED if newer else PushOutcome.LATE
    same = all(stored.values.get(name) == value for name, value in row.values.items())
    return PushOutcome.DUPLICATE if same else PushOutcome.APPLIED
