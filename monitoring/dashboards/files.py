"""Dashboards as the JSON files that Grafana's provisioning reads."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

FOLDER = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"


def as_text(dashboard: Dashboard) -> str:
    """The file's text: the same for the same dashboard."""
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"
