"""What pushing needs of the stores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from app.domain import PushOutcome, Row, ViewSpec
from app.pushing.batch import RowBatch


class OnlineWriter(Protocol):
    """An online store that keeps rule 4: never an older row over a newer one, whoever writes."""

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        """Write the view's columns of these rows; one outcome per row, in order. Raises StoreUnavailableError."""


class OfflineWriter(Protocol):
    """An offline store that rows can be appended to."""

    def append(
        self, views: Sequence[ViewSpec], rows: Sequence[Row], times: Sequence[tuple[datetime, datetime]]
    ) -> None:
        """Append one row each, durably, to the batch source that the views share; `times` are event and created
        timestamps. Raises StoreUnavailableError."""
