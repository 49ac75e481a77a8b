"""freshet db: the metadata database."""

from __future__ import annotations

from app.commands.console import out
from app.jobs.queue import make_tables
from app.settings import Settings
from app.stores.metadata import MetadataStore


def upgrade() -> None:
    """Bring the schema to the newest revision and say whether that took anything."""
    settings = Settings()
    metadata = MetadataStore(settings)
    changed = metadata.upgrade()
    metadata.close()
    # Here and not only by the first worker, which may have to do without the right to make a schema.
    make_tables(settings.metadata_url)
    out.print("Upgraded." if changed else "Already at the newest revision.")
