"""Generated spines: every entity at every moment of a regular grid of times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from app.domain import to_microseconds
from app.durations import parse_duration
from app.errors import FieldError, InvalidRequestError
from app.exports.spine_file import ROWS_AT_ONCE
from app.exports.spine_needs import EVENT_TIMESTAMP, SpineNeeds
from app.exports.spine_types import UTC_MICROS
from app.values import parse_timestamp

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class TimeGrid:
    """The moments start, start + every, and so on up to `end`, which is one of them where it falls on the grid. UTC."""

    start: datetime
    end: datetime
    every: timedelta

    def __post_init__(self) -> None:
        faults = []
        if self.every < _MICROSECOND:
            faults.append(FieldError("every", "must be longer than 0"))
        if self.end < self.start:
            faults.append(FieldError("end", "must not be before start"))
        if faults:
            raise InvalidRequestError("The spine's times are not valid", faults)

    @classmethod
    def parse(cls, start: Any, end: Any, every: Any) -> TimeGrid:
        """The grid that JSON values say: times in RFC 3339 or epoch seconds, and a duration. Raises InvalidRequestError
        that names each faulty one."""
        said: dict[str, Any] = {}
        faults = []
        for name, value, read in (
            ("start", start, parse_timestamp),
            ("end", end, parse_timestamp),
            ("every", every, parse_duration),
        ):
            try:
                said[name] = read(value)
            except ValueError as fault:
                faults.append(FieldError(name, str(fault)))
        if faults:
            raise InvalidRequestError("The spine's times are not valid", faults)
        return cls(**said)

    def __len__(self) -> int:
        return (self.end - self.start) // self.every + 1

    def moments(self, places: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
        """The moments at those places of the grid."""
        micros = to_microseconds(self.start) + places * (self.every // _MICROSECOND)
        return pa.array(micros).cast(UTC_MICROS)


def entity_columns(entities: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    """Columns of a value per entity, as JSON gives them. Raises InvalidRequestError where they are no columns of one
    length, or where there is none."""
    faults = [
        FieldError(f"entities.{name}", "must be an array with a value for each entity")
        for name, values in entities.items()
        if not isinstance(values, list | tuple)
    ]
    if not faults:
        lengths = {name: len(values) for name, values in entities.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {length}" for name, length in lengths.items())
            faults = [FieldError("entities", f"the arrays must be of one length; they are of {said}")]
        elif not any(lengths.values()):
            faults = [FieldError("entities", "must not be empty")]
    if faults:
        raise InvalidRequestError("The spine's entities are not valid", faults)
    return entities


def check_product(entities: int, grid: TimeGrid, needs: SpineNeeds) -> None:
    """Raises InvalidRequestError where so many entities, at all times of the grid, are too many rows."""
    if entities * len(grid) > needs.max_rows:
        message = (
            f"{entities:,} entities at {len(grid):,} times are {entities * len(grid):,} rows; at most "
            f"{needs.max_rows:,} (FRESHET_MAX_SPINE_ROWS). Take fewer entities, or a longer `every`"
        )
        raise InvalidRequestError("The spine has too many rows", [FieldError("spine", message)])


def grid_schema(entities: pa.Schema) -> pa.Schema:
    """The columns of the entities, then the times."""
    return entities.append(pa.field(EVENT_TIMESTAMP, UTC_MICROS))


def crossed(batches: Iterator[pa.RecordBatch], grid: TimeGrid, needs: SpineNeeds) -> Iterator[pa.RecordBatch]:
    """Every entity at every moment: the entities in their order, each with its times from the first to the last.
    Raises InvalidRequestError as soon as the entities are too many."""
    schema: pa.Schema | None = None
    entities = 0
    for batch in batches:
        schema = schema or grid_schema(batch.schema)
        entities += batch.num_rows
        check_product(entities, grid, needs)
        for start in range(0, batch.num_rows * len(grid), ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, batch.num_rows * len(grid)), dtype=np.int64)
            taken = batch.take(pa.array(rows // len(grid)))
            yield pa.RecordBatch.from_arrays([*taken.columns, grid.moments(rows % len(grid))], schema=schema)


def moments_alone(grid: TimeGrid) -> Iterator[pa.RecordBatch]:
    """The moments of the grid, for features that are of no entity."""
    for start in range(0, len(grid), ROWS_AT_ONCE):
        places = np.arange(start, min(start + ROWS_AT_ONCE, len(grid)), dtype=np.int64)
        yield pa.RecordBatch.from_arrays([grid.moments(places)], schema=grid_schema(pa.schema([])))
