"""The Grafana dashboards as code, of the types and builders that Grafana's own schema generates (Foundation SDK)."""

from collections.abc import Mapping

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards import feature_view, overview, pipelines, serving
from monitoring.dashboards.board import Board


def boards() -> Mapping[str, Dashboard]:
    """Every dashboard, by the name of its file."""
    made: dict[str, Board] = {
        "overview": overview.board(),
        "feature-view": feature_view.board(),
        "serving": serving.board(),
        "pipelines": pipelines.board(),
    }
    return {f"{name}.json": board.build() for name, board in made.items()}
