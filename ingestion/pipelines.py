"""The bundled pipelines: what FRESHET_PIPELINES=ingestion.pipelines:PIPELINES loads."""

from __future__ import annotations

from app.jobs.pipelines import Pipeline
from ingestion.events import open_events
from ingestion.sample import write_sample_events
from ingestion.user_activity import compute

PIPELINES = (
    Pipeline(view="user_activity", compute=compute, open_events=open_events, write_sample_events=write_sample_events),
)
"""Every bundled batch feature view that is computed from raw events."""
