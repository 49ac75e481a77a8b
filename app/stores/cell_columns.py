"""Columns of cells on their way into an online store: a list of them, or all in one piece.

A cell is a serialized Value or Timestamp, an empty one stands for null. Numbers never become Python objects of their
own on the way to Redis, which takes them in one piece anyway (compare.lua).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Cells(Protocol):
    """One cell per row."""

    def __iter__(self) -> Iterator[bytes]:
        """The cells, in order."""

    def packed(self, start: int, stop: int) -> bytes:
        """Some of them as compare.lua takes a column: the lengths as little-endian 32-bit integers, then the cells."""


class ListedCells(list[bytes]):
    """Cells that were made one by one."""

    def packed(self, start: int, stop: int) -> bytes:
        """See Cells."""
        cells: Sequence[bytes] = self[start:stop]
        return struct.pack(f"<{len(cells)}I", *map(len, cells)) + b"".join(cells)


class PackedCells:
    """Cells that lie one after the other in `data`, each as long as `lengths` says."""

    def __init__(self, lengths: npt.NDArray[np.uint32], data: bytes) -> None:
        self._lengths = lengths
        self._data = data
        self._ends = [0, *np.cumsum(lengths).tolist()]

    def __iter__(self) -> Iterator[bytes]:
        """The cells, in order."""
        return (self._data[start:end] for start, end in zip(self._ends, self._ends[1:], strict=False))

    def packed(self, start: int, stop: int) -> bytes:
        """See Cells."""
        stop = min(stop, len(self._lengths))
        return self._lengths[start:stop].astype("<u4").tobytes() + self._data[self._ends[start] : self._ends[stop]]
