"""One feature view: how old it is, who is served what, and whether training would say the same."""

from monitoring.dashboards import ages
from monitoring.dashboards.ages import STATES
from monitoring.dashboards.board import Board
from monitoring.dashboards.panels import (
    RED,
    ROWS,
    VALUES,
    YELLOW,
    AnyPanel,
    Query,
    distribution,
    graph,
    number,
    steps,
)

_VIEW = 'project="$project", feature_view="$feature_view"'
_SERVED = 'feature_view="$feature_view"'
_SLA = Query(ages.sla(_VIEW), "SLA")
_WARN = Query(ages.warn(_VIEW), "warns")


def board() -> Board:
    """The dashboard."""
    made = Board("Freshet / Feature view", "freshet-feature-view", "One feature view: age, writes, what is served.")
    made.variable("project", "Project", "label_values(freshet:view_status:info, project)", several=False)
    made.variable(
        "feature_view",
        "View",
        'label_values(freshet:view_status:info{project="$project"}, feature_view)',
        several=False,
    )
    made.row("Now", *_now())
    made.row("Age", *_age())
    made.row("Writes", *_writes())
    made.row("Served", *_served())
    made.row("Skew", *_skew())
    return made


def _of(metric: str) -> str:
    """The latest value of a metric of the view: every process shows the same."""
    return f"max by (project, feature_view) ({metric}{{{_VIEW}}})"


def _now() -> list[AnyPanel]:
    newest = Query(f"{ages.newest(_VIEW)} * 1000", "newest")
    return [
        number("State", "none", Query(ages.state(_VIEW), "state"), mappings=STATES, about="Its state by its SLA."),
        number(
            "Age",
            "s",
            Query(ages.age(_VIEW), "age"),
            about="Since its newest event, or what its source calls complete.",
        ),
        number("SLA", "s", _SLA, about="The tag freshness_sla of the view."),
        number("Newest data", "dateTimeFromNow", newest, about="Its newest event, or what its source calls complete."),
        number(
            "Owner",
            "none",
            Query(f"freshet:view_owner:info{{{_VIEW}}}", "{{owner}}"),
            about="Whom alerts are for.",
            by_name=True,
        ),
        number(
            "Team",
            "none",
            Query(f"freshet:view_owner:info{{{_VIEW}}}", "{{team}}"),
            about="The tag team of the view.",
            by_name=True,
        ),
    ]


def _age() -> list[AnyPanel]:
    entity_age = f"max by (project, feature_view, quantile) (freshet_feature_view_entity_age_seconds{{{_VIEW}}})"
    return [
        graph(
            "Age of the newest data",
            "s",
            Query(ages.age(_VIEW), "age"),
            _WARN,
            _SLA,
            limits=(("warns", YELLOW), ("SLA", RED)),
            about="Beyond the line of the SLA the view is stale. It goes on while nobody exports metrics.",
        ),
        graph(
            "Age of sampled entities",
            "s",
            Query(entity_age, "quantile {{quantile}}"),
            _SLA,
            limits=(("SLA", RED),),
            about="Median, 95th percentile and oldest of a sample of the online store. Dormant entities "
            "are always old: this is never alerted on.",
        ),
        graph(
            "Entities beyond the SLA",
            "percentunit",
            Query(_of("freshet_feature_view_beyond_sla_ratio"), "beyond the SLA"),
            top=1,
            about="The share of the sampled entities whose own data are older than the SLA.",
        ),
        graph(
            "Entities in the sample",
            "none",
            Query(_of("freshet_feature_view_sampled_entities"), "sampled"),
            Query(_of("freshet_feature_view_future_entities"), "from the future"),
            limits=(("from the future", RED),),
            about="How many entities the last probe has seen, and how many of them are ahead of the clock.",
        ),
    ]


def _writes() -> list[AnyPanel]:
    materialized = f"sum(rate(freshet_materialization_rows_total{{{_SERVED}}}[$__rate_interval]))"
    return [
        graph(
            "Since the last write",
            "s",
            Query(f"time() - {_of('freshet_feature_view_last_write_timestamp_seconds')}", "since the last write"),
            about="Since Freshet last wrote rows of this view. What others wrote is seen in the age alone.",
        ),
        graph(
            "Rows written",
            "none",
            Query(_of("freshet_feature_view_last_write_rows"), "rows of the last write"),
            about="How many rows the last write had at once.",
            span=6,
        ),
        graph(
            "Rows materialized",
            ROWS,
            Query(materialized, "read"),
            about="Rows read for materialization, in the processes that Prometheus asks.",
            span=6,
        ),
    ]


def _served() -> list[AnyPanel]:
    buckets = f"freshet_served_age_seconds_bucket{{{_SERVED}}}[$__rate_interval]"
    stale = f"sum(rate(freshet_served_stale_total{{{_SERVED}}}[$__rate_interval]))"
    rows = f"sum(rate(freshet_served_age_seconds_count{{{_SERVED}}}[$__rate_interval]))"
    by_status = f"sum by (status) (rate(freshet_served_values_total{{{_SERVED}}}[$__rate_interval]))"
    return [
        graph(
            "Values by status",
            VALUES,
            Query(by_status, "{{status}}"),
            stacked=True,
            about="What callers got. Only PRESENT carries a value.",
        ),
        graph(
            "Rows served beyond the SLA",
            "percentunit",
            Query(f"{stale} / {rows}", "beyond the SLA"),
            Query("vector(0.01)", "objective"),
            limits=(("objective", RED),),
            about="The share of the rows served that was older than the SLA. The alert on it burns a budget of 1 %.",
        ),
        distribution(
            "Age of rows when served",
            "s",
            Query(f"sum by (le) (increase({buckets}))", "{{le}}"),
            about="How old the rows were at the moment of the read.",
        ),
        graph(
            "Age of rows when served, quantiles",
            "s",
            *(
                Query(f"histogram_quantile({part}, sum by (le) (rate({buckets})))", name)
                for part, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            _SLA,
            limits=(("SLA", RED),),
            about="The same as lines, beside the SLA.",
        ),
    ]


def _skew() -> list[AnyPanel]:
    found = f"max by (project, feature_view) (increase(freshet_skew_mismatch_total{{{_VIEW}}}[1h]))"
    checked = f"max by (project, feature_view) (increase(freshet_skew_checked_total{{{_VIEW}}}[1h]))"
    return [
        graph(
            "Entities compared in an hour",
            "none",
            Query(checked, "compared"),
            Query(found, "different"),
            limits=(("different", RED),),
            about="Sampled entities whose values were compared with the point-in-time join, and those that differed.",
            span=16,
        ),
        number(
            "Different in this hour",
            "none",
            Query(found, "different"),
            thresholds=steps((None, "green"), (0.01, RED)),
            about="One is too many: models are trained on other values than they are served.",
        ).height(8),
        number(
            "Last compared",
            "dateTimeFromNow",
            Query(f"{_of('freshet_skew_last_checked_timestamp_seconds')} * 1000", "last compared"),
            about="When the consistency probe has last compared this view; GET /v1/skew says why it leaves one out.",
        ).height(8),
    ]
