"""freshet db: the metadata database."""

from __future__ import annotations

from app.commands.console import out
from app.settings import Settings
from app.stores.metadata import MetadataStore


def upgrade() -> None:
    """Bring the schema to the newest revision and say whether that took anything."""
    metadata = MetadataStore(Settings())
    changed = metadata.upgrade()
    metadata.close()
    out.print("Upgraded." if changed else "Already at the newest revision.")
