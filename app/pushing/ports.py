"""What pushing needs of the stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain import PushOutcome, ViewSpec
from app.pushing.batch import RowBatch


class OnlineWriter(Protocol):
    """An online store that keeps rule 4: never an older row over a newer one, whoever writes."""

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        """Write the view's columns of these rows; one outcome per row, in order. Raises StoreUnavailableError."""


class OfflineWriter(Protocol):
    """An offline store that rows can be appended to."""

    def append_batch(self, views: Sequence[ViewSpec], batch: RowBatch) -> None:
        """Append one row each, durably, to the batch source that the views share; all or nothing.

        Raises UnstorableRowsError that names rows which cannot be kept, and StoreUnavailableError, of which
        CommitUnknownError says that the rows may be kept.
        """

    def missing(self, views: Sequence[ViewSpec], batch: RowBatch) -> Sequence[int]:
        """The places of the rows that it does not have: none with the same key, event and created timestamp.

        Where it cannot compare created timestamps the first row speaks for all: one of its key and event timestamp is
        taken for it. Raises StoreUnavailableError.
        """
