"""Alembic's entry point: runs the migrations on the URL that the caller, or else the settings, give."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from app.settings import Settings
from app.stores import (  # noqa: F401 - their tables
    applications,
    consumer_reads,
    job_totals,
    jobs,
    leases,
    push_keys,
    push_repairs,
    snapshots,
    watermarks,
)
from app.stores.metadata import Base


def run() -> None:
    """Run the migrations in one transaction (SQLite alters tables by copying them, hence the batch mode)."""
    url = context.config.get_main_option("sqlalchemy.url") or Settings().metadata_url
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            compare_type=True,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()


run()
