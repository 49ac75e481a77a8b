"""The table of `freshet freshness`: as many columns as fit, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from app.freshness.view import FreshnessStatus, ViewFreshness

_COLOURS = {
    FreshnessStatus.STALE: "bold red",
    FreshnessStatus.NEVER: "bold red",
    FreshnessStatus.UNKNOWN: "magenta",
    FreshnessStatus.WARN: "yellow",
    FreshnessStatus.FRESH: "green",
    FreshnessStatus.UNMONITORED: "dim",
}
_NOTHING = "–"
_DAYS_FROM = 2 * 86_400
"""People say 26 h, and 2 d."""
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True)
class _Column:
    """A column: its heading and cells, and when it is left out where the screen is narrow; 0: never."""

    heading: str
    cell: Callable[[ViewFreshness], Text]
    drop: int = 0


def human(duration: timedelta | None) -> str:
    """A duration in its two greatest units: 3 h 12 min, 26 h, 45 s."""
    if duration is None:
        return _NOTHING
    left = round(duration.total_seconds())
    units = _UNITS if left >= _DAYS_FROM else _UNITS[1:]
    parts: list[tuple[int, str]] = []
    for unit, length in units:
        number, left = divmod(left, length)
        if number or parts or unit == "s":
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number or len(parts) == 1)


def print_table(states: Sequence[ViewFreshness], probed: timedelta | None) -> None:
    """Print the states, in their order, and a line about where they come from: a probe just now, or one that was so
    long ago because the store does not answer."""
    console = Console(highlight=False)
    table = next((table for table in _tables(states) if _fits(table, console)), None)
    if states:
        console.print(table or _table(states, len(_COLUMNS)))
    for state in states:
        if state.sla.fault:
            console.print(Text(f"{state.view.name}: {state.sla.fault}", "magenta"), soft_wrap=True)
    console.print(_summary(states, probed), soft_wrap=True)


def _tables(states: Sequence[ViewFreshness]) -> list[Table]:
    """From the widest to the narrowest."""
    return [_table(states, dropped) for dropped in range(len(_COLUMNS))]


def _table(states: Sequence[ViewFreshness], dropped: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    kept = [column for column in _COLUMNS if not column.drop or column.drop > dropped]
    for column in kept:
        table.add_column(column.heading, overflow="fold", no_wrap=column.drop > 0)
    for state in states:
        table.add_row(*(column.cell(state) for column in kept))
    return table


def _fits(table: Table, console: Console) -> bool:
    return Measurement.get(console, console.options.update(width=10_000), table).maximum <= console.width


def _status(state: ViewFreshness) -> Text:
    return Text(state.status.value, _COLOURS[state.status])


def _entities(state: ViewFreshness) -> Text:
    ages = state.found.ages
    shown = () if ages is None else (ages.p50, ages.p95, ages.max)
    return Text(" / ".join(human(timedelta(seconds=age)) for age in shown) or _NOTHING)


def _newest(state: ViewFreshness) -> Text:
    newest = state.found.newest
    return Text(_NOTHING if newest is None else f"{newest:%Y-%m-%d %H:%M:%S}")


_COLUMNS = (
    _Column("status", _status),
    _Column("feature view", lambda state: Text(state.view.name)),
    _Column("age", lambda state: Text(human(state.staleness))),
    _Column("SLA", lambda state: Text(human(state.sla.sla))),
    _Column("newest event (UTC)", _newest, drop=3),
    _Column("entities p50 / p95 / max", _entities, drop=2),
    _Column("owner", lambda state: Text(state.view.owner or _NOTHING), drop=1),
)


def _summary(states: Sequence[ViewFreshness], probed: timedelta | None) -> Text:
    unmonitored = sum(state.status is FreshnessStatus.UNMONITORED for state in states)
    views = f"{len(states)} feature view{'' if len(states) == 1 else 's'}, {unmonitored} without an SLA"
    when = "probed now" if probed is None else f"probed {human(probed)} ago; now the online store does not answer"
    return Text(f"{views}; {when}", "dim")
