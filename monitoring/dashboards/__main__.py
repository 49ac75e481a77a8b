"""Write the dashboards to monitoring/grafana/dashboards: `python -m monitoring.dashboards`."""

from monitoring.dashboards import boards
from monitoring.dashboards.files import FOLDER, as_text

for name, dashboard in boards().items():
    (FOLDER / name).write_text(as_text(dashboard), encoding="utf-8")
