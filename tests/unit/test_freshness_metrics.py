"""Freshness as metrics: every series of the contract, by the clock of the scrape, and none of what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app import metrics
from app.freshness.board import FreshnessBoard
from app.freshness.exported import export
from app.freshness.finding import EntityAges, Finding
from app.freshness.snapshot import FreshnessSnapshot
from app.snapshot_metrics import SnapshotGauge
from tests.unit.catalogs import catalog, profile, visits

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WATCHED = replace(profile, owner="ada", tags={"freshness_sla": "2h", "team": "search"})
FOUND = Finding(
    has_rows=True, newest=NOW - HOUR, watermark=NOW - 2 * HOUR, last_write=NOW, last_write_rows=5,
    sampled=8, future=1, ages=EntityAges(1.0, 2.0, 3.0), beyond_sla=2,
)  # fmt: skip


class World:
    """A board with a clock of its own, and what it exports."""

    def __init__(self) -> None:
        self.now = NOW
        self.board = FreshnessBoard(lambda: self.now, timedelta(seconds=30))

    def show(self, **views: Finding) -> None:
        """A probe has found this."""
        self.board.snapshot = FreshnessSnapshot(NOW, self.board.interval, timedelta(seconds=0.25), views)

    def series(self, *views: object) -> dict[str, float]:
        """The series of a scrape, without the common prefix, in a registry with these views."""
        export(self.board, catalog(views=views or (WATCHED,)))  # type: ignore[arg-type]
        found = {}
        for line in metrics.exposition().decode().splitlines():
            if line.startswith(("freshet_feature_view_", "freshet_freshness_")):
                name, value = line.rsplit(" ", 1)
                found[name.removeprefix("freshet_")] = float(value)
        return found


@pytest.fixture
def world() -> Iterator[World]:
    yield World()
    for gauge in metrics.SNAPSHOT_METRICS:
        if isinstance(gauge, SnapshotGauge):
            gauge.set_all({})


def test_every_series_of_a_view(world: World) -> None:
    world.show(profile=FOUND)

    of = 'feature_view="profile"'
    assert world.series() == {
        f'feature_view_newest_event_timestamp_seconds{{{of},project="lab"}}': (NOW - HOUR).timestamp(),
        f'feature_view_watermark_timestamp_seconds{{{of},project="lab"}}': (NOW - 2 * HOUR).timestamp(),
        f'feature_view_last_write_timestamp_seconds{{{of},project="lab"}}': NOW.timestamp(),
        f'feature_view_last_write_rows{{{of},project="lab"}}': 5.0,
        f'feature_view_staleness_seconds{{{of},project="lab"}}': 3600.0,
        f'feature_view_sla_seconds{{{of},project="lab"}}': 7200.0,
        f'feature_view_warn_seconds{{{of},project="lab"}}': 6480.0,
        f'feature_view_sla_breached{{{of},project="lab"}}': 0.0,
        f'feature_view_status{{{of},project="lab",status="fresh"}}': 1.0,
        f'feature_view_entity_age_seconds{{{of},project="lab",quantile="0.5"}}': 1.0,
        f'feature_view_entity_age_seconds{{{of},project="lab",quantile="0.95"}}': 2.0,
        f'feature_view_entity_age_seconds{{{of},project="lab",quantile="1"}}': 3.0,
        f'feature_view_sampled_entities{{{of},project="lab"}}': 8.0,
        f'feature_view_beyond_sla_ratio{{{of},project="lab"}}': 0.25,
        f'feature_view_future_entities{{{of},project="lab"}}': 1.0,
        f'feature_view_info{{{of},owner="ada",project="lab",team="search"}}': 1.0,
        'freshness_probe_last_success_timestamp_seconds{project="lab"}': NOW.timestamp(),
        'freshness_probe_interval_seconds{project="lab"}': 30.0,
        'freshness_probe_duration_seconds{project="lab"}': 0.25,
    }


def test_what_depends_on_the_clock_is_as_old_as_the_scrape(world: World) -> None:
    world.show(profile=FOUND)
    world.series()
    world.now += 2 * HOUR

    found = world.series()

    assert found['feature_view_staleness_seconds{feature_view="profile",project="lab"}'] == 3 * 3600.0
    assert found['feature_view_sla_breached{feature_view="profile",project="lab"}'] == 1.0
    statuses = {name: value for name, value in found.items() if name.startswith("feature_view_status{")}
    assert statuses == {'feature_view_status{feature_view="profile",project="lab",status="stale"}': 1.0}


def test_a_view_that_left_the_registry_is_gone(world: World) -> None:
    world.show(profile=FOUND, visits=FOUND)
    assert any("visits" in name for name in world.series(WATCHED, visits))

    assert not any("visits" in name for name in world.series(WATCHED))
    export(world.board, None)
    assert "freshet_feature_view_" not in metrics.exposition().decode()


def test_what_is_unknown_has_no_series_but_says_so(world: World) -> None:
    of = '{feature_view="profile",project="lab"}'
    assert world.series().keys() == {
        f"feature_view_sla_seconds{of}",
        f"feature_view_warn_seconds{of}",
        f"feature_view_sla_breached{of}",
        'feature_view_status{feature_view="profile",project="lab",status="unknown"}',
        'feature_view_info{feature_view="profile",owner="ada",project="lab",team="search"}',
        'freshness_probe_interval_seconds{project="lab"}',
    }


def test_a_view_that_was_never_written_breaks_its_sla(world: World) -> None:
    world.show(profile=Finding(has_rows=False, sampled=0, beyond_sla=0))

    found = world.series()

    assert found['feature_view_sla_breached{feature_view="profile",project="lab"}'] == 1.0
    assert found['feature_view_status{feature_view="profile",project="lab",status="never"}'] == 1.0
    assert not any("beyond_sla_ratio" in name or "staleness" in name for name in found)


def test_an_unmonitored_view_has_an_age_and_no_sla(world: World) -> None:
    world.show(profile=FOUND)

    found = world.series(profile)

    assert found['feature_view_status{feature_view="profile",project="lab",status="unmonitored"}'] == 1.0
    assert found['feature_view_staleness_seconds{feature_view="profile",project="lab"}'] == 3600.0
    assert not any(name.startswith(("feature_view_sla_seconds", "feature_view_warn")) for name in found)
