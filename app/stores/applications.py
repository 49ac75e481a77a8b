"""What has been applied to the registry, in the metadata database: a snapshot per `freshet apply`."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.stores.metadata import Base


class ApplicationRow(Base):
    """One `freshet apply`. Times are UTC; `definitions` and `plan` are JSON."""

    __tablename__ = "applications"

    project: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    number: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(sa.String(16))
    """applying, applied or failed."""
    began_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    applied_by: Mapped[str] = mapped_column(sa.String(255))
    definitions_hash: Mapped[str] = mapped_column(sa.String(64))
    definitions: Mapped[str] = mapped_column(sa.Text)
    plan: Mapped[str] = mapped_column(sa.Text)
