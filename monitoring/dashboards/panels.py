"""The kinds of panels that the dashboards are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
AnyPanel = Builder[dashboard.Panel]
ROWS = "suffix: rows/s"
VALUES = "suffix: values/s"
GREEN, YELLOW, RED, BLUE, GREY, PURPLE = "green", "yellow", "red", "blue", "#808080", "purple"


@dataclass(frozen=True)
class Query:
    """PromQL, and the name of its series: fixed, or with labels as {{label}}."""

    expr: str
    legend: str

    def target(self, number: int, *, instant: bool = False, kind: PromQueryFormat = PromQueryFormat.TIME_SERIES) -> Any:
        """The query as a panel's; the first is A."""
        made = prometheus.Dataquery().expr(self.expr).legend_format(self.legend).ref_id(chr(ord("A") + number))
        made = made.datasource(SOURCE).format(kind)
        return made.instant() if instant else made.range()


def steps(*at: tuple[float | None, str]) -> build.ThresholdsConfig:
    """Colours from a value on; the first from anywhere (None)."""
    return (
        build.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in at])
    )


def names(**of: tuple[str, str]) -> list[dashboard.ValueMapping]:
    """Names and colours of numbers, as `_0=("fresh", GREEN)`."""
    found = {
        key.lstrip("_"): dashboard.ValueMappingResult(text=text, color=color, index=place)
        for place, (key, (text, color)) in enumerate(of.items())
    }
    return [dashboard.ValueMap(options=found)]


def line(name: str, color: str) -> tuple[str, list[dashboard.DynamicConfigValue]]:
    """How a series that is a limit is drawn: dashed, in a colour of its own."""
    return name, [
        dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color}),
        dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        dashboard.DynamicConfigValue("custom.fillOpacity", 0),
    ]


def graph(
    title: str,
    unit: str,
    *queries: Query,
    about: str,
    span: int = 12,
    stacked: bool = False,
    limits: tuple[tuple[str, str], ...] = (),
    top: float | None = None,
) -> timeseries.Panel:
    """Lines over time. `limits`: names of series that are drawn as limits, and their colours. `top`: the axis ends
    there."""
    made = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(span)
        .height(8)
        .fill_opacity(30 if stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(
            build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .legend(
            build_common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
    )
    if stacked:
        made = made.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if top is not None:
        made = made.max(top)
    for name, color in limits:
        made = made.override_by_name(*line(name, color))
    for number, query in enumerate(queries):
        made = made.with_target(query.target(number))
    return made


def number(
    title: str,
    unit: str,
    query: Query,
    *,
    about: str,
    span: int = 4,
    thresholds: build.ThresholdsConfig | None = None,
    mappings: list[dashboard.ValueMapping] | None = None,
    by_name: bool = False,
) -> stat.Panel:
    """One value as it is now. `by_name`: the name of the series is what is shown."""
    text = common.BigValueTextMode.NAME if by_name else common.BigValueTextMode.VALUE
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .thresholds(thresholds or steps((None, BLUE)))
        .mappings(mappings or [])
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(text)
        .reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .with_target(query.target(0, instant=True))
    )


def states(
    title: str, query: Query, *, about: str, mappings: list[dashboard.ValueMapping], span: int = 24
) -> statetimeline.Panel:
    """Which state each series was in, over time."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit("none")
        .span(span)
        .height(8)
        .mappings(mappings)
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .with_target(query.target(0))
    )


def distribution(title: str, unit: str, query: Query, *, about: str, span: int = 12) -> heatmap.Panel:
    """How many observations fell into each bucket of a histogram, over time."""
    return (
        heatmap.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .with_target(query.target(0, kind=PromQueryFormat.HEATMAP))
    )
