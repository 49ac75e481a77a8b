"""A dashboard: its variables, its links to the others, and its panels from left to right."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from monitoring.dashboards.panels import SOURCE, AnyPanel

TAG = "freshet"
"""What the dashboards find each other by."""


class Board:
    """One dashboard in the making. Panels of one line have one height, and fill its 24 columns."""

    def __init__(self, title: str, uid: str, description: str, start: str = "now-6h") -> None:
        others = build.DashboardLink("Freshet").type(model.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
        self._made = (
            build.Dashboard(title)
            .uid(uid)
            .description(description)
            .tags([TAG])
            .timezone("browser")
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .time(start, "now")
            .refresh("30s")
            .readonly()
            .link(others.keep_time(True).include_vars(True).icon("external link").tooltip("").url(""))
            .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        )

    def variable(self, name: str, label: str, query: str, *, several: bool = True) -> Board:
        """One more variable, of the values of a label. `several`: any number of them may be chosen, all at first."""
        made = (
            build.QueryVariable(name)
            .label(label)
            .query({"query": query, "refId": f"variable-{name}"})
            .datasource(SOURCE)
            # With the time range: a view that is gone by now is still found where it was.
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.ALPHABETICAL_ASC)
            .multi(several)
            .include_all(several)
        )
        if several:
            made = made.all_value(".*").current(model.VariableOption(selected=True, text="All", value="$__all"))
        self._made = self._made.with_variable(made)
        return self

    def row(self, title: str, *panels: AnyPanel) -> Board:
        """A heading and the panels below it."""
        self._made = self._made.with_row(build.Row(title))
        for panel in panels:
            self._made = self._made.with_panel(panel)
        return self

    def build(self) -> model.Dashboard:
        """The dashboard, its panels numbered."""
        made = self._made.build()
        for number, panel in enumerate(made.panels or [], start=1):
            panel.id_val = number
        return made
