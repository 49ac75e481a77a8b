"""Online features as they come back: values, the status of each, and the time of the row that each came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from app.client.columns import Column, to_arrow, to_pandas, typed
from app.client.values import moment
from app.domain import ValueStatus

if TYPE_CHECKING:
    import pandas
    import pyarrow


_STATUSES = {status.value: status for status in ValueStatus}


class _Tabular:
    """What can be laid out as a table: one row per entity, in the order of the request.

    Columns: the join keys, then the features, each by its name; `<feature>.status` and `<view>.event_timestamp` behind
    them, unless they are left out. `types` gives Feast's type by the name of a column (see `FeatureView.types`), so
    that times, bytes and columns without values get theirs.
    """

    def to_pandas(
        self, *, statuses: bool = True, event_timestamps: bool = True, types: Mapping[str, str] | None = None
    ) -> pandas.DataFrame:
        """A DataFrame; integers are nullable Int64 and exact, missing floats NaN, times datetime64[us, UTC]."""
        return to_pandas(typed(self._columns(statuses, event_timestamps), types))

    def to_arrow(
        self, *, statuses: bool = True, event_timestamps: bool = True, types: Mapping[str, str] | None = None
    ) -> pyarrow.Table:
        """An Arrow table; objects are JSON text, and a column without any value has the type null if `types` gives
        none."""
        return to_arrow(typed(self._columns(statuses, event_timestamps), types))

    def _columns(self, statuses: bool, event_timestamps: bool) -> list[Column]:
        raise NotImplementedError


@dataclass(frozen=True)
class EntityFeatures(_Tabular):
    """The features of one entity, by name, as `read_one` gives them.

    A value is None unless its status is PRESENT (or `on_stale="serve"` was asked for). Integers are exact.
    `event_timestamps` are aware, in UTC, by feature view; None where the view has no row of this entity.
    """

    feature_service: str
    entity: Mapping[str, Any]
    features: Mapping[str, Any]
    statuses: Mapping[str, ValueStatus]
    event_timestamps: Mapping[str, datetime | None]

    @classmethod
    def read(cls, body: Any) -> Self:
        """From a decoded answer."""
        return cls(
            feature_service=body["feature_service"],
            entity=dict(body["entity"]),
            features=dict(body["features"]),
            statuses={name: _STATUSES[status] for name, status in body["statuses"].items()},
            event_timestamps={view: moment(text) for view, text in body["event_timestamps"].items()},
        )

    def _columns(self, statuses: bool, event_timestamps: bool) -> list[Column]:
        columns = [Column(name, [value]) for name, value in [*self.entity.items(), *self.features.items()]]
        if statuses:
            columns += [_statuses(name, [status]) for name, status in self.statuses.items()]
        if event_timestamps:
            columns += [_moments(view, [moment]) for view, moment in self.event_timestamps.items()]
        return columns


@dataclass(frozen=True)
class OnlineFeatures(_Tabular):
    """The features of many entities, as `read_many` gives them: `values[row][feature]`, both in request order.

    `features` are `view:feature`; `entities` the join keys as they were asked for. A value is None unless its status
    (`statuses[row][feature]`) is PRESENT (or `on_stale="serve"` was asked for). Integers are exact.
    `event_timestamps[view][row]` are aware, in UTC; None where the view has no row of that entity.
    """

    features: Sequence[str]
    entities: Mapping[str, Sequence[Any]]
    values: Sequence[Sequence[Any]]
    statuses: Sequence[Sequence[ValueStatus]]
    event_timestamps: Mapping[str, Sequence[datetime | None]]

    @classmethod
    def read(cls, body: Any) -> Self:
        """From a decoded answer."""
        return cls(
            features=tuple(body["features"]),
            entities=dict(body["entities"]),
            values=body["values"],
            statuses=[[_STATUSES[status] for status in row] for row in body["statuses"]],
            event_timestamps={
                view: [moment(text) for text in column] for view, column in body["event_timestamps"].items()
            },
        )

    def __len__(self) -> int:
        return len(self.values)

    def column(self, feature: str) -> list[Any]:
        """The values of one feature, one per row. Raises ValueError for one that was not asked for."""
        place = self.features.index(feature)
        return [row[place] for row in self.values]

    def _columns(self, statuses: bool, event_timestamps: bool) -> list[Column]:
        columns = [Column(name, values) for name, values in self.entities.items()]
        columns += [Column(name, [row[at] for row in self.values]) for at, name in enumerate(self.features)]
        if statuses:
            columns += [_statuses(name, [row[at] for row in self.statuses]) for at, name in enumerate(self.features)]
        if event_timestamps:
            columns += [_moments(view, moments) for view, moments in self.event_timestamps.items()]
        return columns


def _statuses(feature: str, statuses: Sequence[ValueStatus]) -> Column:
    return Column(f"{feature}.status", [status.value for status in statuses], "STRING")


def _moments(view: str, moments: Sequence[datetime | None]) -> Column:
    return Column(f"{view}.event_timestamp", moments, "UNIX_TIMESTAMP")
