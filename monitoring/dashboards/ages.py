"""What the dashboards ask about the age of views: by the alerts' own series, which outlive their exporter."""

from monitoring.dashboards.panels import BLUE, GREEN, GREY, PURPLE, RED, YELLOW, names

BY = "on (project, feature_view)"


def newest(view: str) -> str:
    """Up to where the data of the views reach. `view`: PromQL's matchers."""
    return f"freshet:view_newest:timestamp_seconds{{{view}}}"


def age(view: str) -> str:
    """Their age in seconds."""
    return f"(time() - {newest(view)})"


def sla(view: str) -> str:
    """Their SLA in seconds."""
    return f"freshet:view_sla:seconds{{{view}}}"


def warn(view: str) -> str:
    """The age in seconds at which they warn."""
    return f"freshet:view_warn:seconds{{{view}}}"


def with_status(view: str, status: str) -> str:
    """1 for each of the views that has this status, as it was shown last."""
    return f'max by (project, feature_view) (freshet:view_status:info{{{view}, status="{status}"}})'


def stale(view: str) -> str:
    """The views beyond their SLA now, whether or not somebody says so, and those without any row that holds."""
    return f"({age(view)} > {BY} {sla(view)}) or {BY} ({with_status(view, 'stale')} unless {BY} {newest(view)})"


def state(view: str) -> str:
    """The state of each view as a number of STATES. No data is no age, whatever a source calls complete; else an age
    tells it where there is one: it is true without exporter."""
    aged = f"({age(view)} > bool {BY} {warn(view)}) + {BY} ({age(view)} > bool {BY} {sla(view)})"
    never, *others = (f"(0 * {with_status(view, status)} + {code})" for status, code in _WITHOUT_AGE.items())
    return f" or {BY} ".join([never, f"({aged})", *others])


_WITHOUT_AGE = {"never": 3, "stale": 2, "unknown": 4, "unmonitored": 5}
STATES = names(
    _0=("fresh", GREEN),
    _1=("warn", YELLOW),
    _2=("stale", RED),
    _3=("never", PURPLE),
    _4=("unknown", BLUE),
    _5=("unmonitored", GREY),
)
