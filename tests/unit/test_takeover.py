"""Which markers are taken for those of dead servers, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import metrics
from app.domain import to_microseconds
from app.errors import StoreUnavailableError
from app.pushing.coverage import Coverage
from app.pushing.debts import Debt, Debts
from app.pushing.takeover import Takeover
from tests.unit.repair_markers import MarkersOf, Table

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Server:
    """One of several servers over a table; `offset` is by how much its clock is wrong."""

    def __init__(self, table: Table, name: str, offset: timedelta = timedelta(0)) -> None:
        self.elapsed = 0.0
        self.debts = Debts()
        markers = MarkersOf(table, name)
        self.coverage = Coverage(
            markers, self.debts, lambda: None, lambda: NOW + offset + timedelta(seconds=self.elapsed)
        )
        self.takeover = Takeover(markers, self.coverage, self.debts, 1.0, lambda: self.elapsed)

    def push(self) -> None:
        with self.coverage.covering("events", to_microseconds(NOW)):
            pass

    def look(self, seconds: float = 1.0) -> None:
        """Look so much later."""
        self.elapsed += seconds
        self.takeover.look()


def owed() -> float:
    (metric,) = metrics.PUSH_REPAIRS_OWED.collect()
    value: float = metric.samples[0].value
    return value


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(minutes=10), timedelta(minutes=-10)])
def test_a_server_that_beats_keeps_its_marker_whatever_its_clock_says(offset: timedelta) -> None:
    table = Table()
    alive, watcher = Server(table, "alive", offset), Server(table, "watcher")
    alive.push()
    for _ in range(20):
        alive.look()
        watcher.look()
    assert table.rows.keys() == {("alive", "events")}
    assert (watcher.debts.push_sources(), owed()) == ([], 0)


def test_a_dead_servers_marker_is_inherited_by_one() -> None:
    table = Table()
    dead, first, second = (Server(table, name) for name in ("dead", "first", "second"))
    dead.push()
    since = table.rows["dead", "events"].since
    for _ in range(5):
        first.look()
        second.look()
        assert ("dead", "events") in table.rows
    first.look()
    second.look()
    assert table.rows.keys() == {("first", "events")}
    assert first.debts.claim("events") == Debt(to_microseconds(since), None)
    assert (second.debts.push_sources(), owed()) == ([], 1)


def test_what_a_server_has_left_is_taken_at_once() -> None:
    table = Table()
    stopped, other = Server(table, "stopped"), Server(table, "other")
    with pytest.raises(KeyError), stopped.coverage.covering("events", to_microseconds(NOW)):
        raise KeyError
    stopped.coverage.release()
    other.look()
    assert table.rows.keys() == {("other", "events")}
    assert other.debts.push_sources() == ["events"]


def test_time_without_the_table_does_not_count() -> None:
    table = Table()
    alive, watcher = Server(table, "alive"), Server(table, "watcher")
    alive.push()
    watcher.look()
    table.down = True
    with pytest.raises(StoreUnavailableError):
        watcher.look(100)
    table.down = False
    watcher.look()
    watcher.look()
    assert ("alive", "events") in table.rows
    watcher.look(5)
    assert ("watcher", "events") in table.rows


def test_what_others_owe_is_counted_by_all() -> None:
    table = Table()
    owing, other = Server(table, "owing"), Server(table, "other")
    with owing.coverage.covering("events", to_microseconds(NOW)) as group:
        group.owe(group.low, group.low)
    owing.look()
    assert owed() == 1
    other.look()
    assert owed() == 1
    owing.debts.claim("events")
    owing.debts.paid("events", None)
    owing.look()
    other.look()
    assert owed() == 0
