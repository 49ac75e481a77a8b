"""Pipelines: who computes which feature view from raw events.

Freshet itself knows no pipeline. It loads the tuple that `FRESHET_PIPELINES` names (the bundled one is
`ingestion.pipelines:PIPELINES`), so that a user adds a computation in one file of their own and the service never
depends on it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.dataset as pads

from app.errors import ConfigurationError

Events: TypeAlias = pa.Table | pads.Dataset
"""Raw events: an Arrow table, or an Arrow dataset that is scanned without being loaded whole."""


@dataclass(frozen=True)
class Pipeline:
    """The one computation of a batch feature view.

    `compute(events, as_of, known_at)` is pure: the same events and times always give the same rows. It returns one row
    per entity with the view's join keys and features, its event timestamp column (equal to as_of) and its created
    timestamp column (equal to known_at, or to as_of when known_at is None). Only events with event time <= as_of and
    arrival time <= (known_at or as_of) may count. Both times are UTC and aware.

    `open_events(folder)` opens the raw events that lie in a folder, checked against the pipeline's schema.

    `write_sample_events(folder, until)` makes example events where a folder has none; it returns the number of rows
    written, and writes nothing when the folder already holds events that it did not make itself.
    """

    view: str
    compute: Callable[[Events, datetime, datetime | None], pa.Table]
    open_events: Callable[[Path], Events]
    write_sample_events: Callable[[Path, datetime, Callable[[int, int], None]], int] | None = None


def load_pipelines(reference: str) -> dict[str, Pipeline]:
    """The pipelines that `reference` ("package.module:NAME") names, by feature view; none for an empty reference.

    Raises ConfigurationError when the reference cannot be imported or is not a tuple of Pipeline.
    """
    if not reference:
        return {}
    module_name, _, attribute = reference.partition(":")
    try:
        value = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"FRESHET_PIPELINES={reference} cannot be imported: {error}") from error
    if not isinstance(value, tuple) or not all(isinstance(entry, Pipeline) for entry in value):
        raise ConfigurationError(f"FRESHET_PIPELINES={reference} is not a tuple of app.jobs.pipelines.Pipeline")
    return {pipeline.view: pipeline for pipeline in value}
