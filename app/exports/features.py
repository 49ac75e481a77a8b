"""The columns of a result: the spine's, and then the features, on-demand ones computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.arrow_values import from_arrow
from app.domain import FieldSpec, ValueStatus
from app.errors import FieldError, InvalidRequestError, NotServableError, one_line
from app.exports import join
from app.exports.point_in_time import JoinedBatch
from app.exports.spine_needs import EVENT_TIMESTAMP
from app.exports.statistics import Statuses
from app.planning.selection import Output, Selection
from app.planning.transforms import Given, Input, transform

_REALS = ("FLOAT", "DOUBLE")
_STATUS = {
    join.HOLDS: ValueStatus.PRESENT,
    join.NOT_FOUND: ValueStatus.NOT_FOUND,
    join.OUTSIDE_MAX_AGE: ValueStatus.OUTSIDE_MAX_AGE,
}


@dataclass(frozen=True)
class FeatureBatch:
    """Some rows of a result, all columns, and the statuses of its features by column."""

    rows: pa.RecordBatch
    statuses: Mapping[str, Statuses]


class ResultColumns:
    """What a result looks like, worked out before its first row."""

    def __init__(
        self,
        selection: Selection,
        spine: pa.Schema,
        view_types: Sequence[Sequence[pa.DataType]],
        type_of: Callable[[FieldSpec], pa.DataType],
        full_feature_names: bool = False,
    ) -> None:
        """`view_types` are the types of the features that are read, by view; `type_of` gives those of on-demand ones.

        Raises InvalidRequestError where two columns would have the same name.
        """
        self._selection = selection
        self._types = [
            type_of(FieldSpec(output.feature, output.dtype))
            if output.on_demand
            else view_types[output.index][output.position]
            for output in selection.outputs
        ]
        self.features = _names(selection.outputs, spine, full_feature_names)
        """The columns of the features, in the order of the outputs."""
        self.schema = pa.schema(
            [*spine, *(pa.field(name, dtype) for name, dtype in zip(self.features, self._types, strict=True))]
        )
        """All columns: the spine's first."""

    def batches(self, joined: Iterable[JoinedBatch]) -> Iterator[FeatureBatch]:
        """The rows of a join as rows of the result. Raises NotServableError where the function of an on-demand view
        fails."""
        for batch in joined:
            computed = [self._compute(index, batch) for index in range(len(self._selection.transforms))]
            columns: list[pa.Array] = []
            statuses: list[Statuses] = []
            for output, dtype in zip(self._selection.outputs, self._types, strict=True):
                if output.on_demand:
                    values, found = computed[output.index][output.feature]
                    columns.append(_typed(values, dtype, output.reference))
                    statuses.append([ValueStatus(status) for status in found])
                else:
                    values = batch.values[output.index][output.position]
                    columns.append(_finite(values) if output.dtype in _REALS else values)
                    statuses.append(batch.statuses[output.index])
            rows = pa.RecordBatch.from_arrays([*batch.spine.columns, *columns], schema=self.schema)
            yield FeatureBatch(rows, dict(zip(self.features, statuses, strict=True)))

    def _compute(self, index: int, batch: JoinedBatch) -> Mapping[str, tuple[list[Any], list[str]]]:
        planned, selection = self._selection.transforms[index], self._selection
        spine = batch.spine

        def given(fields: Mapping[str, FieldSpec]) -> dict[str, list[Any]]:
            present = {name: field for name, field in fields.items() if name in spine.schema.names}
            return {name: _native(spine[name], field.dtype) for name, field in present.items()}

        inputs = []
        for _, view, feature in planned.inputs:
            read = selection.views[view]
            field = read.view.feature(feature)
            values = _native(batch.values[view][read.features.index(feature)], field.dtype if field else "")
            inputs.append(Input(values, _status_of(batch.statuses[view].to_pylist(), values)))
        moments = [moment.as_py() for moment in spine[EVENT_TIMESTAMP]]
        asked = Given(spine.num_rows, given(selection.join_keys), given(selection.request_fields), moments)
        return transform(planned, inputs, asked)


def _names(outputs: Sequence[Output], spine: pa.Schema, full: bool) -> list[str]:
    names = [output.full_name if full else output.feature for output in outputs]
    taken = Counter([*spine.names, *names])
    repeated = [name for name in dict.fromkeys(names) if taken[name] > 1]
    if not repeated:
        return names
    if full:
        raise InvalidRequestError(
            "A column of the spine has the name of a feature; rename it",
            [FieldError(name, "is in the spine and among the features") for name in repeated],
        )
    raise InvalidRequestError(
        f"More than one column would be named {', '.join(repeated)}; ask with full_feature_names",
        [FieldError("full_feature_names", "must be true for these features and this spine")],
    )


def _native(column: pa.Array, dtype: str) -> list[Any]:
    return [from_arrow(value, dtype) for value in column.to_pylist()]


def _status_of(codes: Sequence[int], values: Sequence[Any]) -> Callable[[int], str]:
    def status(row: int) -> str:
        found = _STATUS[codes[row]]
        nothing = found is ValueStatus.PRESENT and values[row] is None
        return ValueStatus.NULL_VALUE.value if nothing else found.value

    return status


def _finite(column: pa.Array) -> pa.Array:
    """What is served: infinities are null there, and so they are here."""
    if pc.all(pc.is_finite(column)).as_py() is not False:
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def _typed(values: Sequence[Any], dtype: pa.DataType, name: str) -> pa.Array:
    """What a function returned, in the type that its view declares; NaN and infinities, as served, are null.

    Raises NotServableError where a value is not of that type: reads give it as it is, and a column cannot.
    """
    try:
        if pa.types.is_floating(dtype):
            return _finite(pa.array(values, dtype, from_pandas=True))
        given = pa.array(values) if pa.types.is_integer(dtype) else pa.array(values, dtype)
        return given.cast(dtype)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise NotServableError(
            f"The function of on-demand feature {name} returns what is not {dtype}: {one_line(error)}"
        ) from error
