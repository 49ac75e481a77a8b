"""The clock of a row in Feast's SQLite tables: exact timestamps, beside the whole seconds that stock Feast keeps.

A clock is one more "feature" of an entity: the `event_ts` that was written with it, and the exact event and created
timestamps. It counts only while that `event_ts` still stands beside it: stock writers do not update it. (The number
itself is kept because stock Feast shifts it by the process's time zone, which may change.)
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from feast import FeatureView
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.utils import to_naive_utc

from app.domain import to_microseconds, to_moment
from app.stores.compare import Stored

_CLOCK = "_fc"


def clock_of(table: FeatureView) -> str:
    """The feature name of our own row; never that of a feature of the view."""
    clock, names = _CLOCK, {feature.name for feature in table.features}
    while clock in names:
        clock += "_"
    return clock


def clock_cell(row: Stored) -> bytes:
    """The clock to write with a row, a serialized Value."""
    cell = ValueProto()
    times = [row.event] if row.created is None else [row.event, row.created]
    cell.int64_list_val.val.extend([stock_seconds(row.event), *times])
    return bytes(cell.SerializeToString())


def exact_moment(clock: bytes | None, seconds: Any) -> int:
    """The event timestamp in microseconds: of the clock cell, unless a stock writer has been here since."""
    if clock is not None:
        beside, event, *_ = ValueProto.FromString(clock).int64_list_val.val
        if seconds is None or beside == int(seconds):
            return int(event)
    return _from_stock(int(seconds or 0))


def exact_row(features: dict[str, tuple[bytes, Any, Any]], clock_name: str) -> Stored:
    """A whole row: value, event and created timestamp (as stored) by feature, the clock's among them."""
    clock = features.pop(clock_name, None)
    seconds = max((int(cell[1]) for cell in features.values()), default=None)
    created = max((int(cell[2]) for cell in features.values() if cell[2] is not None), default=None)
    values = {name: cell[0] for name, cell in features.items()}
    if clock is not None:
        beside, *micros = ValueProto.FromString(clock[0]).int64_list_val.val
        if seconds is None or beside == seconds:
            return Stored(micros[0], micros[1] if len(micros) > 1 else None, values)
    return Stored(_from_stock(seconds or 0), None if created is None else _from_stock(created), values)


def stock_seconds(microseconds: int) -> int:
    """The `event_ts` that stock Feast would write for a moment."""
    # Feast's adapter calls timestamp() on the naive UTC time, which Python takes for local time. Whoever shares the
    # file with stock Feast must shift by the same zone.
    return int(to_naive_utc(to_moment(microseconds)).timestamp())


def stock_created(row: Stored) -> int | None:
    """The `created_ts` that stock Feast would write."""
    return None if row.created is None else stock_seconds(row.created)


def _from_stock(seconds: int) -> int:
    moment = datetime.fromtimestamp(seconds)  # noqa: DTZ006 - the inverse of stock_seconds
    return to_microseconds(moment.replace(tzinfo=UTC))
