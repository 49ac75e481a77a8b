"""The columns of a push source, compiled once per catalog; pushed rows are checked against them by the column."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import Any

from app.domain import ViewSpec, to_moment
from app.pushing.batch import RowBatch
from app.pushing.checked import CheckedRows
from app.pushing.faults import FaultCode, RejectedRow, RowFault
from app.pushing.times import Moments, parse_times
from app.value_columns import plain_column
from app.values import RangeFault, ValueFault, format_timestamp, parse

EVENT_TIMESTAMP = "event_timestamp"
CREATED_TIMESTAMP = "created_timestamp"

_ROWS_AT_ONCE = 250
"""What is checked without a break: about a millisecond, so that whoever shares the event loop need not wait long."""
_FEW = 4
"""So few values are looked at one by one: that is less work than the look at the whole."""
_MOST_FORMS = 100
_MOST_UNKNOWN = 20
"""So many unknown columns of a row are named."""

Faults = defaultdict[int, list[RowFault]]
"""The faults of the rows that have some, by their place in the part that is checked."""


@dataclass(frozen=True, slots=True)
class PushedColumns:
    """Rows that came in columns, each with one entry per row: values as JSON says them, or as Arrow does: times may be
    Moments, bytes bytes, and JSON is text."""

    columns: Mapping[str, Sequence[Any]]
    rows: int

    def __len__(self) -> int:
        return self.rows

    def part(self, start: int, stop: int) -> Mapping[str, Sequence[Any]]:
        """Some of the rows."""
        return {
            name: Moments(values[start:stop]) if isinstance(values, Moments) else values[start:stop]
            for name, values in self.columns.items()
        }


class PushSchema:
    """Join keys and features of all views of a push source, and the names of its times."""

    def __init__(self, push_source: str, views: Sequence[ViewSpec], max_clock_skew: timedelta) -> None:
        self.push_source = push_source
        self.views = views
        self._keys = {field.name for view in views for field in view.join_keys}
        fields = [field for view in views for field in view.join_keys]
        fields += [field for view in views for field in view.features]
        self._dtypes = {field.name: field.dtype for field in fields}
        source = views[0].source
        # The source's own column names work as well as the neutral ones.
        self._event = sorted({EVENT_TIMESTAMP, source.timestamp_field if source else EVENT_TIMESTAMP})
        self._created = sorted({CREATED_TIMESTAMP, (source and source.created_timestamp_column) or CREATED_TIMESTAMP})
        self._json = {name for name, dtype in self._dtypes.items() if dtype == "JSON"}
        self._known = {*self._dtypes, *self._event, *self._created}
        self._skew = max_clock_skew
        self._getters: dict[tuple[str, ...], itemgetter[str]] = {}

    def check(self, rows: Sequence[Any] | PushedColumns, now: int) -> Iterator[CheckedRows]:
        """What of `rows` may be written, and what not with every reason, a part of the rows at a time and in order.

        `rows` are JSON values, or columns. A row without an event timestamp gets `now` (microseconds since 1970), one
        without a created timestamp None. `CheckedRows.joined` puts the parts together.
        """
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, len(rows))
            if isinstance(rows, PushedColumns):
                columns = dict(rows.part(start, stop))
                columns.update((name, _from_text(columns[name])) for name in self._json & columns.keys())
                yield self._check_columns(columns, range(start, stop), now)
            else:
                yield self._check_rows(rows[start:stop] if len(rows) > _ROWS_AT_ONCE else rows, start, now)

    def _check_rows(self, rows: Sequence[Any], start: int, now: int) -> CheckedRows:
        columns = self._transposed(rows)
        if columns is not None:
            return self._check_columns(columns, range(start, start + len(rows)), now)
        parts, groups = [], defaultdict(list)
        for position, row in enumerate(rows):
            if isinstance(row, dict):
                groups[frozenset(row)].append(position)
            else:
                fault = RowFault(FaultCode.WRONG_TYPE, "a row must be an object")
                parts.append(CheckedRows.of_rejected(start + position, [fault]))
        for positions in groups.values():
            names = list(rows[positions[0]])
            columns = {name: [rows[position][name] for position in positions] for name in names}
            parts.append(self._check_columns(columns, [start + position for position in positions], now))
        return CheckedRows.merged(parts)

    def _transposed(self, rows: Sequence[Any]) -> dict[str, Sequence[Any]] | None:
        """The columns of rows whose names are all those of the first, and good, as most are; else None."""
        first = rows[0]
        if not isinstance(first, dict):
            return None
        names = tuple(first)
        if len(rows) == 1:
            return {name: (value,) for name, value in first.items()}
        getter = self._getters.get(names)
        if getter is None:
            if len(names) < 2 or not self._dtypes.keys() <= first.keys() <= self._known:
                return None
            if len(self._getters) >= _MOST_FORMS:
                self._getters.clear()
            getter = self._getters[names] = itemgetter(*names)
        try:
            if set(map(len, rows)) != {len(names)}:
                return None
            return dict(zip(names, zip(*map(getter, rows), strict=True), strict=True))
        except (KeyError, TypeError):
            return None

    def _check_columns(self, columns: Mapping[str, Sequence[Any]], positions: Sequence[int], now: int) -> CheckedRows:
        faults: Faults = defaultdict(list)
        if not self._dtypes.keys() <= columns.keys() <= self._known:
            name_faults = self._name_faults(columns)
            for place in range(len(positions)):
                faults[place] += name_faults
        native = {
            name: self._values(name, dtype, columns[name], faults)
            for name, dtype in self._dtypes.items()
            if name in columns
        }
        count = len(positions)
        given = self._times(columns, self._event, count, faults)
        event = [now if moment is None else moment for moment in given]
        created = self._times(columns, self._created, count, faults)
        self._refuse_ahead(event, now, "", faults)
        # One of them would hold off every correction of its row, as an event would hold off the entity's rows.
        self._refuse_ahead(created, now, f"{CREATED_TIMESTAMP}: ", faults)
        batch = RowBatch(native, event, created)
        if not faults:
            return CheckedRows(positions, batch, ())
        good = [place for place in range(count) if place not in faults]
        rejected = [RejectedRow(positions[place], faults[place]) for place in sorted(faults)]
        return CheckedRows([positions[place] for place in good], batch.take(good), rejected)

    def _name_faults(self, columns: Mapping[str, Any]) -> list[RowFault]:
        strange = [name for name in columns if name not in self._known]
        missing = [name for name in self._dtypes if name not in columns]
        unknown = [_printable(name) for name in strange[:_MOST_UNKNOWN]]
        faults = [
            *(RowFault(FaultCode.UNKNOWN_COLUMN, f"unknown column {name}", name) for name in unknown),
            *(RowFault(FaultCode.MISSING_COLUMN, f"missing column {name}", name) for name in missing),
        ]
        if len(strange) > len(unknown):
            # How many there are is the caller's choice, and each row tells all of its faults.
            faults.append(RowFault(FaultCode.UNKNOWN_COLUMN, f"{len(strange) - len(unknown)} more unknown columns"))
        return faults

    def _values(self, name: str, dtype: str, values: Sequence[Any], faults: Faults) -> Sequence[Any]:
        """Native values of a column; one with a fault is None."""
        is_key = name in self._keys
        if isinstance(values, Moments):
            values = values.values()
        if len(values) >= _FEW and not (is_key and (None in values or "" in values)):
            plain = plain_column(values, dtype)
            if plain is not None:
                return plain
        native: list[Any] = []
        for place, value in enumerate(values):
            if is_key and (value is None or value == ""):
                text = f"{name}: a join key must not be null or empty"
                faults[place].append(RowFault(FaultCode.NULL_JOIN_KEY, text, name))
                native.append(None)
                continue
            try:
                native.append(parse(value, dtype))
            except ValueFault as fault:
                faults[place].append(_value_fault(name, fault))
                native.append(None)
        return native

    def _refuse_ahead(self, moments: Sequence[int | None], now: int, of_what: str, faults: Faults) -> None:
        latest = now + self._skew // timedelta(microseconds=1)
        if max(filter(None, moments), default=now) > latest:
            for place, moment in enumerate(moments):
                if moment is not None and moment > latest:
                    shown = format_timestamp(to_moment(moment))
                    text = f"{of_what}{shown} is more than {self._skew} ahead of the server's clock"
                    faults[place].append(RowFault(FaultCode.FUTURE_TIMESTAMP, text))

    @staticmethod
    def _times(
        columns: Mapping[str, Sequence[Any]], names: Sequence[str], count: int, faults: Faults
    ) -> Sequence[int | None]:
        """Microseconds since 1970 in the columns of these names; of each row the first that is there, or None."""
        found: Sequence[int | None] | None = None
        for name in names:
            if name in columns:
                times, bad = parse_times(columns[name])
                for place, fault in bad:
                    faults[place].append(_value_fault(name, fault))
                found = times if found is None else [times[i] if t is None else t for i, t in enumerate(found)]
        return [None] * count if found is None else found


def _value_fault(name: str, fault: ValueFault) -> RowFault:
    code = FaultCode.OUT_OF_RANGE if isinstance(fault, RangeFault) else FaultCode.WRONG_TYPE
    return RowFault(code, f"{name}: {fault}", name)


def _from_text(values: Sequence[Any]) -> list[Any]:
    """What texts of JSON say; bytes, which no feature of that type may be, for what is no such text."""
    parsed: list[Any] = []
    for value in values:
        try:
            parsed.append(None if value is None else json.loads(value))
        except (ValueError, TypeError, RecursionError):
            parsed.append(b"")
    return parsed


def _printable(name: str) -> str:
    # The caller chose it: it may be anything JSON can say, and of any length.
    return name.encode("utf-8", "backslashreplace").decode()[:200]
