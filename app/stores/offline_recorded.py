"""Which pushed rows an offline store has already: by join keys, event and created timestamps."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.domain import to_moment
from app.pushing.batch import RowBatch

_GAP = 1_000_000
"""Microseconds: created timestamps that lie no further apart are looked for together."""
_MOST_SPANS = 16
"""Each is a query."""


def spans(moments: Collection[int]) -> Iterator[tuple[int, int]]:
    """The first and last of few stretches of time that hold all moments (microseconds since 1970) and leave out the
    longest times between two of them."""
    ordered = sorted(moments)
    gaps = ((after - before, before, after) for before, after in itertools.pairwise(ordered))
    longest = heapq.nlargest(_MOST_SPANS - 1, (gap for gap in gaps if gap[0] > _GAP))
    apart = sorted((before, after) for _, before, after in longest)
    firsts, lasts = [*ordered[:1], *(after for _, after in apart)], [*(before for before, _ in apart), *ordered[-1:]]
    yield from zip(firsts, lasts, strict=True)


def created_at(table: pa.Table, moments: Collection[int]) -> pa.Table:
    """Its rows with one of these created timestamps (microseconds since 1970)."""
    wanted = pa.array(moments, pa.timestamp("us", tz="UTC"))
    return table.filter(pc.is_in(table["created_timestamp"].cast(wanted.type), value_set=wanted))


def unknown(batch: RowBatch, names: Sequence[str], known: set[tuple[Any, ...]]) -> list[int]:
    """The places of the rows of a batch that are not among `known`: join keys of these names, event and created
    timestamp."""
    times = (map(to_moment, batch.event), (None if made is None else to_moment(made) for made in batch.created))
    rows = zip(*(batch.columns[name] for name in names), *times, strict=True)
    return [place for place, row in enumerate(rows) if row not in known]


def tuples(table: pa.Table, names: Sequence[str]) -> set[tuple[Any, ...]]:
    """The rows of a table, cut down to at least one column."""
    return set(zip(*(table[name].to_pylist() for name in names), strict=True))
