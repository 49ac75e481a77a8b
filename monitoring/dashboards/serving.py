"""What callers ask for, how long it takes, and what they get."""

from monitoring.dashboards.board import Board
from monitoring.dashboards.panels import GREEN, RED, ROWS, VALUES, AnyPanel, Query, graph, number, steps

_ROUTES = 'route=~"$route"'
_VIEWS = 'feature_view=~"$feature_view"'
_REQUESTS = f"freshet_http_request_duration_seconds_count{{{_ROUTES}"
_FAILED = ', status=~"5.."'
_NOT_WELL = ', status!~"2.."'
_QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def board() -> Board:
    """The dashboard."""
    made = Board("Freshet / Serving", "freshet-serving", "Requests, their time, and what is served.", start="now-1h")
    made.variable("route", "Route", "label_values(freshet_http_request_duration_seconds_count, route)")
    made.variable("feature_view", "View", "label_values(freshet_served_values_total, feature_view)")
    made.row("Now", *_now())
    made.row("Requests", *_requests())
    made.row("What is served", *_served())
    return made


def _rate(matchers: str = "") -> str:
    return f"rate({_REQUESTS}{matchers}}}[$__rate_interval])"


def _now() -> list[AnyPanel]:
    errors = f"sum({_rate(_FAILED)}) / sum({_rate()})"
    return [
        number(
            "Servers that answer",
            "none",
            Query('sum(up{job="freshet"})', "servers"),
            thresholds=steps((None, RED), (1, GREEN)),
            about="Targets of the job freshet that Prometheus reaches.",
            span=6,
        ),
        number("Requests", "reqps", Query(f"sum({_rate()})", "requests"), about="Requests per second.", span=6),
        number(
            "Errors",
            "percentunit",
            Query(f"({errors}) or vector(0)", "errors"),
            thresholds=steps((None, GREEN), (0.001, RED)),
            about="The share of the requests answered with 5xx.",
            span=6,
        ),
        number(
            "Registry refreshes that failed",
            "none",
            Query("sum(increase(freshet_registry_refresh_failures_total[1h])) or vector(0)", "failed"),
            thresholds=steps((None, GREEN), (1, RED)),
            about="In the last hour. The last definitions keep serving.",
            span=6,
        ),
    ]


def _requests() -> list[AnyPanel]:
    bucket = f"freshet_http_request_duration_seconds_bucket{{{_ROUTES}}}[$__rate_interval]"
    read = "freshet_online_read_duration_seconds_bucket[$__rate_interval]"
    times = [
        graph(
            f"Time to answer, {name}",
            "s",
            Query(f"histogram_quantile({part}, sum by (le, route) (rate({bucket})))", "{{route}}"),
            about="By route. Buckets make it an estimate.",
            span=8,
        )
        for part, name in _QUANTILES
    ]
    return [
        graph(
            "Requests by route",
            "reqps",
            Query(f"sum by (route, method) ({_rate()})", "{{method}} {{route}}"),
            stacked=True,
            about="Requests per second.",
            span=8,
        ),
        graph(
            "Requests not answered well",
            "reqps",
            Query(f"sum by (route, status) ({_rate(_NOT_WELL)})", "{{status}} {{route}}"),
            stacked=True,
            about="4xx are the caller's, 5xx are ours.",
            span=8,
        ),
        graph(
            "Time to read the online store",
            "s",
            *(Query(f"histogram_quantile({part}, sum by (le) (rate({read})))", name) for part, name in _QUANTILES),
            about="With on-demand features and, for many entities, the encoding.",
            span=8,
        ),
        *times,
    ]


def _served() -> list[AnyPanel]:
    stale = f"sum by (feature_view) (rate(freshet_served_stale_total{{{_VIEWS}}}[$__rate_interval]))"
    rows = f"sum by (feature_view) (rate(freshet_served_age_seconds_count{{{_VIEWS}}}[$__rate_interval]))"
    buckets = f"rate(freshet_served_age_seconds_bucket{{{_VIEWS}}}[$__rate_interval])"
    by_status = f"sum by (status) (rate(freshet_served_values_total{{{_VIEWS}}}[$__rate_interval]))"
    return [
        graph(
            "Values by status",
            VALUES,
            Query(by_status, "{{status}}"),
            stacked=True,
            about="Only PRESENT carries a value.",
        ),
        graph("Rows by view", ROWS, Query(rows, "{{feature_view}}"), stacked=True, about="Rows that were found."),
        graph(
            "Rows beyond the SLA",
            "percentunit",
            Query(f"{stale} / {rows}", "{{feature_view}}"),
            Query("vector(0.01)", "objective"),
            limits=(("objective", RED),),
            about="The share of the rows served that was older than the SLA of its view.",
        ),
        graph(
            "Age of rows when served, p95",
            "s",
            Query(f"histogram_quantile(0.95, sum by (le, feature_view) ({buckets}))", "{{feature_view}}"),
            about="By view. Buckets make it an estimate.",
        ),
    ]
