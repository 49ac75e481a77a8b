"""The online store behind the serving and pushing ports, whichever Feast online store it is.

Stores of ours (Redis, SQLite) compare and set inside the store. Any other is guarded here by reading before writing,
under a lock of this process: as good as Feast's interface allows.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feast import FeatureView

from app.domain import PushOutcome, ViewSpec, to_microseconds
from app.errors import NotFoundError
from app.freshness.ports import ViewSample, WriteMark
from app.planning.selection import ViewRead
from app.pushing.batch import RowBatch
from app.serving.ports import PreparedRead
from app.stores.compare import Stored, judge
from app.stores.marks import Mark, newest_of, now_in_microseconds
from app.stores.protos import FeastRow, decode_row, encode_rows
from app.stores.reads import open_reads
from app.stores.repo import FeastRepo
from app.stores.rows import RowEncoder


class FeastOnlineStore:
    """Implements OnlineReader of app.serving.ports, OnlineWriter of app.pushing.ports, and OnlineSampler of
    app.freshness.ports."""

    def __init__(self, repo: FeastRepo, online_timeout: float) -> None:
        self._config = repo.store.config
        self._store: Any = repo.store.provider.online_store
        self._reads = open_reads(repo.store.config, self._store, online_timeout)
        self._views: Mapping[str, FeatureView] = {}
        self._fields: Mapping[frozenset[str], int] = {}
        """How many fields the views of the same join keys keep for an entity."""
        self._encoders: dict[str, RowEncoder] = {}
        """By `ViewSpec.stored_as`; each is made when it is first needed, and again when the view has changed."""
        self._lock = threading.Lock()
        self._marks: dict[str, Mark] = {}
        """Of stores that are not ours, by `ViewSpec.stored_as`: what this process has written."""

    def use(self, views: Mapping[str, FeatureView], specs: Iterable[ViewSpec] = ()) -> None:
        """Take over Feast's view objects of a new catalog, by `ViewSpec.stored_as`, and all views of it; called before
        the catalog itself is published."""
        fields: Counter[frozenset[str]] = Counter()
        for view in specs:
            # Beside the features its two timestamps.
            fields[frozenset(field.name for field in view.join_keys)] += len(view.features) + 2
        self._views, self._fields = views, fields

    def prepare(self, views: Sequence[ViewRead]) -> PreparedRead:
        """The read of these views, by the fastest way that this store has. Raises NotServableError."""
        return self._reads.prepare([(read, self._feast_view(read.view)) for read in views], self._fields)

    def write(self, view: ViewSpec, batch: RowBatch) -> list[PushOutcome]:
        """Write the view's columns of a batch newest-wins; one outcome per row, in order.

        Raises StoreUnavailableError, and InvalidRequestError for a nested value that Feast has no form for.
        """
        table = self._feast_view(view)
        if hasattr(self._store, "write_rows"):
            outcomes: list[PushOutcome] = self._store.write_rows(self._config, table, self._encoder(view).encode(batch))
            return outcomes
        data = encode_rows(view, batch)
        with self._lock:
            outcomes = self._guarded_write(table, data)
            self._keep_mark(view, batch, outcomes.count(PushOutcome.APPLIED))
            return outcomes

    def _encoder(self, view: ViewSpec) -> RowEncoder:
        encoder = self._encoders.get(view.stored_as)
        if encoder is None or encoder.view is not view:
            encoder = RowEncoder(view, self._config.entity_key_serialization_version)
            self._encoders[view.stored_as] = encoder
        return encoder

    def _guarded_write(self, table: FeatureView, data: Sequence[FeastRow]) -> list[PushOutcome]:
        names = [feature.name for feature in table.features]
        found = self._store.online_read(self._config, table, [row[0] for row in data], names)
        stored: dict[bytes, Stored] = {}
        for (proto, *_), (timestamp, values) in zip(data, found, strict=True):
            if decode_row(timestamp, values) is not None:
                serialized = {name: value.SerializeToString() for name, value in values.items()}
                stored[proto.SerializeToString(deterministic=True)] = Stored(
                    to_microseconds(timestamp), None, serialized
                )
        outcomes: list[PushOutcome] = []
        winners: dict[bytes, FeastRow] = {}
        for row in data:
            key = row[0].SerializeToString(deterministic=True)
            values = {name: value.SerializeToString() for name, value in row[1].items()}
            candidate = Stored(to_microseconds(row[2]), None, values)
            outcomes.append(judge(stored.get(key), candidate))
            if outcomes[-1] is PushOutcome.APPLIED:
                stored[key], winners[key] = candidate, row
        if winners:
            self._store.online_write_batch(self._config, table, list(winners.values()), None)
        return outcomes

    def _keep_mark(self, view: ViewSpec, batch: RowBatch, applied: int) -> None:
        if applied:
            now = now_in_microseconds()
            mark, before = Mark(newest_of(batch.event, now), now, applied), self._marks.get(view.stored_as)
            self._marks[view.stored_as] = mark if before is None else before.merged(mark)

    @property
    def can_be_sampled(self) -> bool:
        """Whether the store names its entities itself, as ours do; any other must be asked about each."""
        return hasattr(self._store, "sample")

    def sample(self, views: Sequence[ViewSpec], entities: int) -> dict[str, ViewSample]:
        """See app.freshness.ports.OnlineSampler. Stores that are not ours leave every view out: see
        app.stores.asked_sample."""
        if not self.can_be_sampled:
            return {}
        found: dict[str, ViewSample] = self._store.sample(self._config, self._tables(views), entities)
        return found

    def marks(self, views: Sequence[ViewSpec]) -> dict[str, WriteMark]:
        """See app.freshness.ports.OnlineSampler. Of a store that is not ours only what this process has written."""
        tables = self._tables(views)
        if hasattr(self._store, "marks"):
            marks = self._store.marks(self._config, [table for _, table in tables])
        else:
            marks = [self._marks.get(view.stored_as) for view, _ in tables]
        found = zip((view.name for view, _ in tables), marks, strict=True)
        return {name: mark.in_time() for name, mark in found if mark is not None}

    def _tables(self, views: Sequence[ViewSpec]) -> list[tuple[ViewSpec, FeatureView]]:
        """Those that the catalog in force still has."""
        return [(view, self._views[view.stored_as]) for view in views if view.stored_as in self._views]

    def ping(self) -> None:
        """Raise StoreUnavailableError unless the store answers; a store that is not ours is taken at its word."""
        if hasattr(self._store, "ping"):
            self._store.ping(self._config)

    async def close_reads(self) -> None:
        """Close the connections of prepared reads, in the event loop that used them."""
        await self._reads.close()

    def close(self) -> None:
        """Close the connections of a store of ours; Feast's own close theirs with the process."""
        if hasattr(self._store, "disconnect"):
            self._store.disconnect()

    def _feast_view(self, view: ViewSpec) -> FeatureView:
        """The one place that says which of Feast's objects, and with it which versioned name, belongs to a view."""
        table = self._views.get(view.stored_as)
        if table is None:
            raise NotFoundError(f"The registry has no feature view {view.stored_as}")
        return table
