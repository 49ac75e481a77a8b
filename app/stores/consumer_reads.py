"""Who has read what, in the metadata database: one row per consumer and thing read, counted up by every server."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.stores.metadata import Base


class ConsumerReadRow(Base):
    """The reads of one feature service, or of one feature by its reference, by one consumer. Times are UTC."""

    __tablename__ = "consumer_reads"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    consumer: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    """service or feature."""
    name: Mapped[str] = mapped_column(sa.String(767), primary_key=True)
    first_seen: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    last_seen: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    reads: Mapped[int] = mapped_column(sa.BigInteger)
