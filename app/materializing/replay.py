"""Replay: a window of the offline store written online once more, without the record of a materialization."""

from __future__ import annotations

from datetime import datetime

import pyarrow.compute as pc

from app.domain import PushOutcome, ViewSpec, utc
from app.errors import StoreUnavailableError
from app.materializing.materialize import OfflineReader, OnlineWriter, batches


class Replay:
    """Implements app.pushing.ports.OfflineReplay."""

    def __init__(self, reader: OfflineReader, writer: OnlineWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stopping = False

    def bring_online(self, view: ViewSpec, start: datetime, end: datetime) -> int:
        """See the protocol. Raises StoreUnavailableError after `stop`, too."""
        changed = 0
        for batch in batches(view, self._reader.newest(view, start, end)):
            if self._stopping:
                raise StoreUnavailableError("The server is stopping")
            changed += self._writer.write(view, batch).count(PushOutcome.APPLIED)
        return changed

    def newest_event(self, view: ViewSpec, start: datetime, end: datetime) -> datetime | None:
        """See the protocol."""
        newest: datetime | None = pc.max(self._reader.newest(view, start, end)["event_timestamp"]).as_py()
        return None if newest is None else utc(newest)

    def stop(self) -> None:
        """Let what runs end at its next batch of rows: a thread that the end of the process cuts off inside DuckDB or
        Arrow would abort the process."""
        self._stopping = True
