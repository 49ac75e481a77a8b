"""What brings data in and takes training sets out: writes, pushes, jobs; and the probes that watch them."""

from monitoring.dashboards.board import Board
from monitoring.dashboards.panels import RED, ROWS, AnyPanel, Query, graph, number, steps

_PROJECTS = 'project=~"$project"'
_SOURCES = 'push_source=~"$push_source"'


def board() -> Board:
    """The dashboard."""
    made = Board("Freshet / Pipelines", "freshet-pipelines", "Writes, pushes, jobs and probes.")
    made.variable("project", "Project", "label_values(freshet_freshness_probe_interval_seconds, project)")
    made.variable("push_source", "Push source", "label_values(freshet_push_rows_total, push_source)")
    made.row("Writes", *_writes())
    made.row("Pushes", *_pushes())
    made.row("Jobs and training sets", *_jobs())
    made.row("Probes", *_probes())
    return made


def _rate(metric: str, matchers: str = "") -> str:
    return f"rate({metric}{{{matchers}}}[$__rate_interval])" if matchers else f"rate({metric}[$__rate_interval])"


def _writes() -> list[AnyPanel]:
    last = f"max by (project, feature_view) (freshet_feature_view_last_write_timestamp_seconds{{{_PROJECTS}}})"
    rows = f"sum by (feature_view) ({_rate('freshet_materialization_rows_total')})"
    ended = f"increase(freshet_runs_ended_total{{{_PROJECTS}}}[1h])"
    return [
        graph(
            "Since the last write",
            "s",
            Query(f"time() - {last}", "{{project}} / {{feature_view}}"),
            about="Since Freshet last wrote rows of each view. A write of nothing new does not make data fresh.",
            span=8,
        ),
        graph(
            "Runs ended in an hour",
            "none",
            Query(
                f"max by (project, kind, feature_view, state) ({ended})",
                "{{project}} / {{feature_view}}: {{kind}} {{state}}",
            ),
            stacked=True,
            about="Computations and materializations of each view, by how they ended, whoever ran them.",
            span=8,
        ),
        graph(
            "Rows materialized",
            ROWS,
            Query(rows, "{{feature_view}}"),
            stacked=True,
            about="Rows read for materialization, in the processes that Prometheus asks.",
            span=8,
        ),
    ]


def _pushes() -> list[AnyPanel]:
    rows = _rate("freshet_push_rows_total", _SOURCES)
    rejected = _rate("freshet_push_rows_total", f'{_SOURCES}, outcome="rejected"')
    share = f"sum by (push_source) ({rejected}) / sum by (push_source) ({rows})"
    repaired = f"sum by (push_source) ({_rate('freshet_push_repair_rows_total', _SOURCES)})"
    failed = f"sum by (push_source) ({_rate('freshet_push_repair_failures_total', _SOURCES)})"
    return [
        graph(
            "Pushed rows by outcome",
            ROWS,
            Query(f"sum by (push_source, outcome) ({rows})", "{{push_source}}: {{outcome}}"),
            stacked=True,
            about="What became of each row.",
        ),
        graph(
            "Rejected",
            "percentunit",
            Query(share, "{{push_source}}"),
            Query("vector(0.05)", "alert"),
            limits=(("alert", RED),),
            about="The share of the rows of each push source that was rejected.",
        ),
        graph(
            "Repairs owed",
            "none",
            Query("max(freshet_push_repairs_owed)", "owed"),
            about="Push sources with rows that are kept offline and not yet online.",
            span=8,
        ),
        graph(
            "Rows repaired",
            ROWS,
            Query(repaired, "{{push_source}}"),
            stacked=True,
            about="Rows brought from the offline to the online store, once per view.",
            span=8,
        ),
        graph(
            "Repairs that failed",
            "ops",
            Query(failed, "{{push_source}}"),
            stacked=True,
            about="They are tried again.",
            span=8,
        ),
    ]


def _jobs() -> list[AnyPanel]:
    ended = f"max by (project, kind, state) (increase(freshet_jobs_ended_total{{{_PROJECTS}}}[1h]))"
    # One table of the metadata database, which every server shows.
    rows = "max(rate(freshet_export_rows_total[5m]))"
    buckets = "max by (le) (increase(freshet_export_duration_seconds_bucket[1h]))"
    return [
        graph(
            "Jobs by state",
            "none",
            Query("max by (kind, state) (freshet_jobs)", "{{kind}}: {{state}}"),
            stacked=True,
            about="Background jobs that are remembered.",
        ),
        graph(
            "Jobs ended in an hour",
            "none",
            Query(ended, "{{project}} / {{kind}}: {{state}}"),
            stacked=True,
            about="By how they ended.",
        ),
        graph("Exported rows", ROWS, Query(rows, "rows"), about="Rows of training sets."),
        graph(
            "Time of exports",
            "s",
            *(Query(f"histogram_quantile({part}, {buckets})", name) for part, name in ((0.5, "p50"), (0.95, "p95"))),
            about="Of the exports that ended in the last hour.",
        ),
    ]


def _probes() -> list[AnyPanel]:
    def since(probe: str) -> Query:
        last = f"max by (project) (freshet_{probe}_probe_last_success_timestamp_seconds{{{_PROJECTS}}})"
        return Query(f"time() - {last}", "{{project}}")

    def late(probe: str) -> Query:
        interval = f"max by (project) (freshet_{probe}_probe_interval_seconds{{{_PROJECTS}}})"
        return Query(f"max(clamp_min(3 * {interval}, 120))", "alert")

    duration = f"max by (project) (freshet_freshness_probe_duration_seconds{{{_PROJECTS}}})"
    shown = (
        f"count(max by (project) (freshet_freshness_probe_last_success_timestamp_seconds{{{_PROJECTS}}})) or vector(0)"
    )
    return [
        graph(
            "Since the freshness probe succeeded",
            "s",
            since("freshness"),
            late("freshness"),
            limits=(("alert", RED),),
            about="Beyond three intervals nobody knows how old data are.",
            span=8,
        ),
        graph(
            "Time of the freshness probe",
            "s",
            Query(duration, "{{project}}"),
            about="How long the last look into the online store took.",
            span=8,
        ),
        graph(
            "Since the consistency probe succeeded",
            "s",
            since("skew"),
            late("skew"),
            limits=(("alert", RED),),
            about="Beyond three intervals nobody compares what is served with what is trained on.",
            span=8,
        ),
        number(
            "Projects that are watched",
            "none",
            Query(shown, "projects"),
            thresholds=steps((None, RED), (1, "green")),
            about="Projects whose freshness is shown by some server now.",
            span=24,
        ),
    ]
