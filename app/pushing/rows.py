"""Pushed rows, checked against the schema of the views that a push source feeds, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain import FieldSpec, Row, ViewSpec
from app.values import ValueFault, format_timestamp, parse, parse_timestamp

EVENT_TIMESTAMP = "event_timestamp"
CREATED_TIMESTAMP = "created_timestamp"


@dataclass(frozen=True)
class PushedRow:
    """A row that may be written: native values by column, and its times in UTC."""

    position: int
    values: Row
    event_timestamp: datetime
    created_timestamp: datetime | None


@dataclass(frozen=True)
class RejectedRow:
    """A row that must not be written, and every reason."""

    position: int
    reason: str


class RowSchema:
    """The columns of one push source: join keys and features of all its views, and the names of its times."""

    def __init__(self, views: Sequence[ViewSpec]) -> None:
        self._keys = {field.name: field for view in views for field in view.join_keys}
        self._features: dict[str, FieldSpec] = {field.name: field for view in views for field in view.features}
        source = views[0].source
        # The source's own column names work as well as the neutral ones.
        self._event = {EVENT_TIMESTAMP, source.timestamp_field if source else EVENT_TIMESTAMP}
        self._created = {CREATED_TIMESTAMP, source.created_timestamp_column if source else None} - {None}

    def check(self, position: int, row: Any, now: datetime, skew: timedelta) -> PushedRow | RejectedRow:
        """The row with native values, or everything that is wrong with it. A row without a time gets `now`."""
        if not isinstance(row, dict):
            return RejectedRow(position, "a row must be an object")
        faults: list[str] = []
        times = self._event | self._created
        columns = {**self._keys, **self._features}
        faults += [f"unknown column {_printable(name)}" for name in row if name not in columns and name not in times]
        faults += [f"missing column {name}" for name in columns if name not in row]
        values = self._values(row, columns, faults)
        event = self._time(row, self._event, faults) or now
        created = self._time(row, self._created, faults)
        if event > now + skew:
            faults.append(
                f"future_timestamp: {format_timestamp(event)} is more than {skew} ahead of the server's clock"
            )
        if faults:
            return RejectedRow(position, "; ".join(faults))
        return PushedRow(position, values, event, created)

    def _values(self, row: Mapping[str, Any], columns: Mapping[str, FieldSpec], faults: list[str]) -> dict[str, Any]:
        values = {}
        for name, field in columns.items():
            if name not in row:
                continue
            if name in self._keys and (row[name] is None or row[name] == ""):
                faults.append(f"{name}: a join key must not be null or empty")
                continue
            try:
                values[name] = parse(row[name], field.dtype)
            except ValueFault as fault:
                faults.append(f"{name}: {fault}")
        return values

    @staticmethod
    def _time(row: Mapping[str, Any], names: set[Any], faults: list[str]) -> datetime | None:
        for name in sorted(names & row.keys()):
            if row[name] is None:
                continue
            try:
                return parse_timestamp(row[name])
            except ValueFault as fault:
                faults.append(f"{name}: {fault}")
        return None


def _printable(name: str) -> str:
    # The caller chose it: it may be anything JSON can say, and of any length.
    return name.encode("utf-8", "backslashreplace").decode()[:200]
