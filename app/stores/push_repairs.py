"""The markers of pushes that may not be online yet, in the metadata database: one row per server and push source."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.domain import utc
from app.pushing.ports import RepairMarker
from app.stores.metadata import Base, MetadataStore


class PushRepair(Base):
    """Rows of one push source that one server process may have appended offline and not written online. Times are UTC.

    See app.pushing.ports.RepairMarker.
    """

    __tablename__ = "push_repairs"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    server: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    """Names a process, and no other ever."""
    push_source: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    since: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    """The lowest event timestamp of such rows."""
    owed: Mapped[bool] = mapped_column(sa.Boolean)
    heartbeat: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class PushRepairs:
    """Implements app.pushing.ports.RepairMarkers."""

    def __init__(self, metadata: MetadataStore, project: str, server: str) -> None:
        self._metadata = metadata
        self._project = project
        self._server = server

    def save(self, push_source: str, since: datetime, owed: bool, now: datetime) -> None:
        """See the protocol."""
        with self._metadata.begin() as connection:
            self._save(connection, push_source, since, owed, now)

    def remove(self, push_source: str) -> None:
        """See the protocol."""
        with self._metadata.begin() as connection:
            connection.execute(sa.delete(PushRepair).where(self._mine, PushRepair.push_source == push_source))

    def leave(self, push_source: str) -> None:
        """See the protocol."""
        with self._metadata.begin() as connection:
            mine = sa.update(PushRepair).where(self._mine, PushRepair.push_source == push_source)
            connection.execute(mine.values(heartbeat=None, owed=True))

    def beat(self, now: datetime) -> set[str]:
        """See the protocol. One statement, however many push sources there are."""
        with self._metadata.begin() as connection:
            beating = sa.update(PushRepair).where(self._mine).values(heartbeat=now)
            return set(connection.execute(beating.returning(PushRepair.push_source)).scalars())

    def others(self) -> list[RepairMarker]:
        """See the protocol."""
        query = sa.select(
            PushRepair.server, PushRepair.push_source, PushRepair.since, PushRepair.owed, PushRepair.heartbeat
        ).where(PushRepair.project == self._project, PushRepair.server != self._server)
        with self._metadata.begin() as connection:
            return [
                RepairMarker(
                    row.server, row.push_source, utc(row.since), row.owed, row.heartbeat and utc(row.heartbeat)
                )
                for row in connection.execute(query)
            ]

    def take_over(self, marker: RepairMarker, since: datetime, now: datetime) -> bool:
        """See the protocol. Of several servers the conditional delete lets one through."""
        theirs = sa.and_(
            PushRepair.project == self._project,
            PushRepair.server == marker.server,
            PushRepair.push_source == marker.push_source,
            PushRepair.heartbeat.is_not_distinct_from(marker.heartbeat),
            # Whoever has lowered it since we looked has lived since.
            PushRepair.since == marker.since,
        )
        with self._metadata.begin() as connection:
            if not connection.execute(sa.delete(PushRepair).where(theirs)).rowcount:
                return False
            self._save(connection, marker.push_source, since, True, now)
            return True

    def _save(self, connection: sa.Connection, push_source: str, since: datetime, owed: bool, now: datetime) -> None:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        kept = {"since": since, "owed": owed, "heartbeat": now}
        row = insert(PushRepair).values(project=self._project, server=self._server, push_source=push_source, **kept)
        connection.execute(
            row.on_conflict_do_update(
                index_elements=[PushRepair.project, PushRepair.server, PushRepair.push_source], set_=kept
            )
        )

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(PushRepair.project == self._project, PushRepair.server == self._server)
