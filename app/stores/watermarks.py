"""Watermarks of push sources, in the metadata database."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.domain import utc
from app.pushing.watermarks import Watermark
from app.stores.metadata import Base, MetadataStore


class PushWatermark(Base):
    """Up to where a push source is complete. Times are UTC."""

    __tablename__ = "push_watermarks"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    push_source: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    watermark: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    """When it was last moved on."""


class StoredWatermarks:
    """Implements app.pushing.watermarks.Watermarks."""

    def __init__(self, metadata: MetadataStore, project: str) -> None:
        self._metadata = metadata
        self._project = project

    def advance(self, push_source: str, watermark: datetime, now: datetime) -> datetime:
        """See the protocol. One conditional upsert, so that it never moves back however many push at once."""
        with self._metadata.begin() as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            row = insert(PushWatermark).values(
                project=self._project, push_source=push_source, watermark=watermark, updated_at=now
            )
            moved = {"watermark": row.excluded.watermark, "updated_at": row.excluded.updated_at}
            connection.execute(
                row.on_conflict_do_update(
                    index_elements=[PushWatermark.project, PushWatermark.push_source],
                    set_=moved,
                    where=PushWatermark.watermark < row.excluded.watermark,
                )
            )
            kept = sa.select(PushWatermark.watermark).where(
                PushWatermark.project == self._project, PushWatermark.push_source == push_source
            )
            return utc(connection.execute(kept).scalar_one())

    def kept(self) -> dict[str, Watermark]:
        """See the protocol."""
        query = sa.select(PushWatermark.push_source, PushWatermark.watermark, PushWatermark.updated_at).where(
            PushWatermark.project == self._project
        )
        with self._metadata.begin() as connection:
            rows = connection.execute(query).all()
        return {source: Watermark(utc(watermark), utc(updated)) for source, watermark, updated in rows}

    def moments(self) -> dict[str, datetime]:
        """Up to where push sources are complete (UTC), by name."""
        return {source: watermark.moment for source, watermark in self.kept().items()}
