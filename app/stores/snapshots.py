"""Snapshots in the metadata database: the last one of each name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.domain import utc
from app.stores.metadata import Base, MetadataStore, database_time

_LATEST = timedelta(minutes=1)
"""How far ahead of the database's clock that of a machine may be, and still be believed."""


class SnapshotRow(Base):
    """What one process has found out for all of its deployment, and when (UTC)."""

    __tablename__ = "snapshots"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    taken_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    body: Mapped[Any] = mapped_column(sa.JSON(none_as_null=True), nullable=False)


class StoredSnapshots:
    """Implements app.freshness.ports.Snapshots."""

    def __init__(self, metadata: MetadataStore, project: str) -> None:
        self._metadata = metadata
        self._project = project

    def publish(self, name: str, body: Mapping[str, Any], taken_at: datetime) -> None:
        """See the protocol. An older one never replaces a newer one, as its holder has lost the lease meanwhile; unless
        the newer one lies in the future, and would be kept until its day has come."""
        with self._metadata.begin() as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            row = insert(SnapshotRow).values(project=self._project, name=name, taken_at=taken_at, body=dict(body))
            connection.execute(
                row.on_conflict_do_update(
                    index_elements=[SnapshotRow.project, SnapshotRow.name],
                    set_={"taken_at": row.excluded.taken_at, "body": row.excluded.body},
                    where=sa.or_(
                        SnapshotRow.taken_at <= row.excluded.taken_at,
                        SnapshotRow.taken_at > database_time(connection) + _LATEST,
                    ),
                )
            )

    def latest(self, name: str) -> tuple[datetime, Mapping[str, Any]] | None:
        """See the protocol."""
        query = sa.select(SnapshotRow.taken_at, SnapshotRow.body).where(
            SnapshotRow.project == self._project, SnapshotRow.name == name
        )
        with self._metadata.begin() as connection:
            found = connection.execute(query).first()
        return None if found is None else (utc(found.taken_at), found.body)
