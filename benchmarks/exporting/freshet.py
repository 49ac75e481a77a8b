"""Freshet's export: from the file of a spine to the file of a result."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.deployment import now
from app.exports.destination import Destination
from app.exports.formats import ExportFormat
from app.exports.run import ExportOrder, run_export
from app.exports.spine import spine_of_file
from app.exports.spine_needs import SpineNeeds
from app.planning.select import select_service
from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.history import FeastHistory
from app.stores.repo import open_repo
from benchmarks.exporting.dataset import SERVICE
from benchmarks.exporting.exporter import Export


@contextlib.contextmanager
def opened(repo: Path) -> Iterator[Export]:
    """The export of every feature of the service, as a worker with this repo open does it."""
    settings = Settings(feature_repo=repo)
    opened_repo = open_repo(settings)
    try:
        snapshot = RegistryReader(opened_repo).read()
        history = FeastHistory(opened_repo.store.config, lambda: snapshot.feast_views)
        selection = select_service(snapshot.catalog, snapshot.catalog.services[SERVICE], lambda _: None)

        def export(spine: Path, target: Path) -> None:
            needs = SpineNeeds(selection.join_keys, selection.request_fields, settings.max_spine_rows)
            with tempfile.TemporaryDirectory() as work:
                order = ExportOrder(
                    export_id="benchmark",
                    selection=selection,
                    catalog=snapshot.catalog,
                    spine=spine_of_file(spine, needs, Path(work) / "spine.parquet"),
                    origin=str(spine),
                    format=ExportFormat.PARQUET,
                    cutoff=now(),
                    memory=settings.export_memory,
                    spill=Path(work) / "spill",
                )
                run_export(order, history, Destination.parse(str(target.parent)), target.name, now)

        yield export
    finally:
        opened_repo.close()
