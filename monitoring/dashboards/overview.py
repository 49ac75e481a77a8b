"""Every view against its SLA, the worst first."""

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.dashboards import ages
from monitoring.dashboards.ages import BY, STATES
from monitoring.dashboards.board import Board
from monitoring.dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    RED,
    SOURCE,
    YELLOW,
    AnyPanel,
    Query,
    graph,
    number,
    states,
    steps,
)

_VIEWS = 'project=~"$project"'
_ONE_VIEW = (
    "/d/freshet-feature-view?var-project=${__data.fields.Project}&var-feature_view=${__data.fields.View}"
    "&${__url_time_range}&${datasource:queryparam}"
)
_COLUMNS = {
    "project": "Project",
    "feature_view": "View",
    "Value #A": "State",
    "Value #B": "Age",
    "Value #C": "SLA",
    "Value #D": "Age / SLA",
    "Value #E": "Last write",
    "Value #F": "Entities beyond SLA",
    "owner": "Owner",
    "team": "Team",
}


def board() -> Board:
    """The dashboard."""
    made = Board("Freshet / Overview", "freshet-overview", "Every feature view against its SLA, the worst first.")
    made.variable("project", "Project", "label_values(freshet:view_status:info, project)")
    made.row("Feature views", *_counts())
    made.row("Against the SLA", _views())
    made.row(
        "Over time",
        states("State", Query(ages.state(_VIEWS), "{{project}} / {{feature_view}}"), mappings=STATES, about=_STATE),
        graph(
            "Age / SLA",
            "percentunit",
            Query(f"{ages.age(_VIEWS)} / {BY} {ages.sla(_VIEWS)}", "{{project}} / {{feature_view}}"),
            Query("vector(1)", "SLA"),
            limits=(("SLA", RED),),
            span=24,
            about="How much of its SLA the age of each view takes up. Beyond 100 % the SLA is broken.",
        ),
    )
    return made


_STATE = (
    "Fresh, warn and stale follow from the newest data, also while nobody exports metrics; the other states are what "
    "was shown last."
)


def _counts() -> list[AnyPanel]:
    def how_many(title: str, of: str, color: str, about: str) -> AnyPanel:
        counted = Query(f"count({of}) or vector(0)", title)
        return number(title, "none", counted, about=about, thresholds=steps((None, GREY), (1, color)))

    late = f"{ages.age(_VIEWS)} > {BY} {ages.warn(_VIEWS)}"
    return [
        how_many("Stale", ages.stale(_VIEWS), RED, "Views beyond their SLA."),
        how_many("Warn", f"({late}) unless {BY} ({ages.stale(_VIEWS)})", YELLOW, "Views that will soon be stale."),
        how_many(
            "Without data", ages.with_status(_VIEWS, "never"), PURPLE, "Views with an SLA and no data, or none left."
        ),
        how_many("Unknown", ages.with_status(_VIEWS, "unknown"), BLUE, "Views whose store cannot be sampled."),
        how_many("Unmonitored", ages.with_status(_VIEWS, "unmonitored"), BLUE, "Views without an SLA."),
        how_many("Fresh", f"{ages.age(_VIEWS)} <= {BY} {ages.warn(_VIEWS)}", GREEN, "Views well within their SLA."),
    ]


def _views() -> AnyPanel:
    last_write = f"max by (project, feature_view) (freshet_feature_view_last_write_timestamp_seconds{{{_VIEWS}}})"
    queries = [
        ages.state(_VIEWS),
        ages.age(_VIEWS),
        ages.sla(_VIEWS),
        f"{ages.age(_VIEWS)} / {BY} {ages.sla(_VIEWS)}",
        f"{last_write} * 1000",
        f"max by (project, feature_view) (freshet_feature_view_beyond_sla_ratio{{{_VIEWS}}})",
        f"freshet:view_owner:info{{{_VIEWS}}}",
    ]
    made = (
        table.Panel()
        .title("Views")
        .description("Whose age takes up most of its SLA comes first. A view leads to its own dashboard.")
        .datasource(SOURCE)
        .unit("short")
        .span(24)
        .height(12)
        .with_transformation(DataTransformerConfig("merge", options={}))
        .with_transformation(DataTransformerConfig("organize", options=_organized()))
        .sort_by([build_common.TableSortByFieldState().display_name("Age / SLA").desc(True)])
    )
    for place, query in enumerate(queries):
        made = made.with_target(Query(query, "").target(place, instant=True, kind=PromQueryFormat.TABLE))
    for column, properties in _LOOKS.items():
        made = made.override_by_name(column, [DynamicConfigValue(name, value) for name, value in properties.items()])
    return made


def _organized() -> dict[str, object]:
    return {
        "excludeByName": {"Time": True, "Value #G": True},
        "indexByName": {name: place for place, name in enumerate(_COLUMNS)},
        "renameByName": _COLUMNS,
    }


_THRESHOLDS = steps((None, GREEN), (0.9, YELLOW), (1.0, RED)).build()
_LOOKS: dict[str, dict[str, object]] = {
    "View": {"links": [{"title": "This view alone", "url": _ONE_VIEW}]},
    "State": {"mappings": STATES, "custom.cellOptions": {"type": "color-text"}},
    "Age": {"unit": "s"},
    "SLA": {"unit": "s"},
    "Age / SLA": {
        "unit": "percentunit",
        "thresholds": _THRESHOLDS,
        "custom.cellOptions": {"type": "color-background", "mode": "basic"},
    },
    "Last write": {"unit": "dateTimeFromNow"},
    "Entities beyond SLA": {"unit": "percentunit"},
}
