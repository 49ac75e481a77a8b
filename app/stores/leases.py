"""Leases in the metadata database: one row per name, changed by one conditional statement."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.domain import EPOCH
from app.stores.metadata import Base, MetadataStore, database_time


class LeaseRow(Base):
    """Who does what only one process of a deployment should do, and until when (UTC)."""

    __tablename__ = "leases"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(sa.String(64))
    rank: Mapped[int]
    ends_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class StoredLeases:
    """Implements app.freshness.ports.Leases. By the database's clock: those of the machines may differ."""

    def __init__(self, metadata: MetadataStore, project: str) -> None:
        self._metadata = metadata
        self._project = project

    def take(self, name: str, holder: str, term: timedelta, rank: int = 0) -> bool:
        """See the protocol."""
        with self._metadata.begin() as connection:
            now = database_time(connection)
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            row = insert(LeaseRow).values(
                project=self._project, name=name, holder=holder, rank=rank, ends_at=now + term
            )
            free = sa.or_(LeaseRow.holder == holder, LeaseRow.ends_at <= now, LeaseRow.rank < rank)
            taken = row.on_conflict_do_update(
                index_elements=[LeaseRow.project, LeaseRow.name],
                set_={"holder": row.excluded.holder, "rank": row.excluded.rank, "ends_at": row.excluded.ends_at},
                where=free,
            )
            return connection.execute(taken.returning(LeaseRow.holder)).first() is not None

    def give_back(self, name: str, holder: str) -> None:
        """See the protocol."""
        mine = sa.update(LeaseRow).where(
            LeaseRow.project == self._project, LeaseRow.name == name, LeaseRow.holder == holder
        )
        with self._metadata.begin() as connection:
            connection.execute(mine.values(ends_at=EPOCH))
