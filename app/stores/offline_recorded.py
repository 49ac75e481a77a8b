"""Which pushed rows an offline store has already: by join keys, event and created timestamps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from app.domain import to_moment
from app.pushing.batch import RowBatch

_GAP = 1_000_000
"""Microseconds between the created timestamps of two pushes that are still looked for together."""


def spans(batches: Sequence[RowBatch]) -> Iterator[tuple[int, int]]:
    """The first and last created timestamps (microseconds since 1970) of stretches of time that hold those of all
    batches, each of which has them all. What nobody asked for is in none of them for longer than a second."""
    ends = sorted(
        (min(made), max(made)) for batch in batches if (made := [one for one in batch.created if one is not None])
    )
    if not ends:
        return
    first, last = ends[0]
    for low, high in ends[1:]:
        if low > last + _GAP:
            yield first, last
            first = low
        last = max(last, high)
    yield first, last


def unknown(batch: RowBatch, names: Sequence[str], known: set[tuple[Any, ...]]) -> list[int]:
    """The places of the rows of a batch that are not among `known`: join keys of these names, event and created
    timestamp."""
    times = (map(to_moment, batch.event), (None if made is None else to_moment(made) for made in batch.created))
    rows = zip(*(batch.columns[name] for name in names), *times, strict=True)
    return [place for place, row in enumerate(rows) if row not in known]


def tuples(table: pa.Table, names: Sequence[str]) -> set[tuple[Any, ...]]:
    """The rows of a table, cut down to these columns."""
    return set(zip(*(table[name].to_pylist() for name in names), strict=True))
