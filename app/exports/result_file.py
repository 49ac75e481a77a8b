"""A result while it is written: every byte counted and hashed on its way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, cast

from app.errors import FreshetError, QuotaExceededError

Guard = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Limit:
    """The most bytes that a result may have, and what to do about a larger one."""

    bytes: int
    advice: str


class ResultFile(io.RawIOBase, BinaryIO):
    """A file to write from its beginning to its end. Not for use from two threads at once."""

    def __init__(self, file: BinaryIO, limit: Limit | None, guard: Guard) -> None:
        super().__init__()
        self._file = file
        self._limit = limit
        self._guard = guard
        self._hash = hashlib.sha256()
        self.bytes = 0
        """How many were written so far."""
        self.fault: FreshetError | None = None
        """Why a write has failed: libraries between the writer and this file may lose it."""

    def write(self, data: object) -> int:
        """Write all of it. Raises QuotaExceededError, and StoreUnavailableError."""
        view = memoryview(cast(bytes, data))
        size = view.nbytes
        try:
            if self._limit is not None and self.bytes + size > self._limit.bytes:
                raise QuotaExceededError(
                    f"The result is larger than the {self._limit.bytes:,} bytes that it may have: {self._limit.advice}"
                )
            with self._guard():
                self._file.write(view)
        except FreshetError as fault:
            self.fault = self.fault or fault
            raise
        self._hash.update(view)
        self.bytes += size
        return size

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte goes."""
        return self.bytes

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hex."""
        return self._hash.hexdigest()
