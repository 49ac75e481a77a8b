"""What materializations must have seen: those that this service remembers, and those that Feast's registry does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from feast import FeatureView

from app.domain import ViewSpec, utc
from app.stores.metadata import MetadataStore, Run


class StoredMaterialized:
    """Implements app.skew.ports.Materialized.

    When a row came into the offline store nobody keeps: it is what the computation of this service says that made it;
    else its created timestamp, where that is after the event's; else it is assumed to have come no later than `overlap`
    after its event, which is what incremental materializations assume as well.
    """

    def __init__(
        self,
        metadata: MetadataStore,
        project: str,
        feast_views: Callable[[], Mapping[str, FeatureView]],
        overlap: timedelta,
    ) -> None:
        """`feast_views` gives Feast's views by name, with the intervals that any program has materialized."""
        self._metadata = metadata
        self._project = project
        self._feast_views = feast_views
        self._overlap = overlap

    def covers(self, view: ViewSpec, rows: Sequence[tuple[datetime, datetime | None]]) -> Sequence[bool]:
        """See the protocol."""
        feast_view = self._feast_views().get(view.stored_as)
        intervals = [(utc(start), utc(end)) for start, end in getattr(feast_view, "materialization_intervals", ())]
        with self._metadata.begin() as connection:
            return [self._covers(connection, view.name, intervals, *row) for row in rows]

    def _covers(
        self,
        connection: sa.Connection,
        view: str,
        intervals: Sequence[tuple[datetime, datetime]],
        event: datetime,
        created: datetime | None,
    ) -> bool:
        of_view = (Run.project == self._project, Run.feature_view == view)
        computed = sa.select(Run.state, Run.finished_at).where(
            *of_view, Run.kind == "compute", Run.window_start == event
        )
        runs = [(run.state, run.finished_at) for run in connection.execute(computed)]
        if any(state == "running" for state, _ in runs):
            return False
        finished = [utc(at) for state, at in runs if state == "succeeded" and at is not None]
        if finished:
            written = max(finished)
        else:
            written = created if created is not None and created > event else event + self._overlap
        # Of those in the registry it is not known when they began: not after their end, unless that lay in the future.
        if any(start <= event <= end and end >= written for start, end in intervals):
            return True
        seen = sa.select(Run.id).where(
            *of_view,
            Run.kind == "materialize",
            Run.state == "succeeded",
            Run.window_start <= event,
            Run.window_end >= event,
            Run.started_at >= written,
        )
        return connection.execute(seen.limit(1)).first() is not None
