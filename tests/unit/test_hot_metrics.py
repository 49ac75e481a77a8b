"""Counts kept in plain Python reach the exported metrics, whatever becomes of the plan that counted."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest
import structlog

from app import hot_metrics, metrics
from app.domain import ValueStatus
from app.serving.counters import ServedCounters

PRESENT, NULL = ValueStatus.PRESENT.value, ValueStatus.NULL_VALUE.value


def value(text: str) -> float:
    """A sample of the exposition, by its whole name and labels."""
    found = [line for line in metrics.exposition().decode().splitlines() if line.startswith(text + " ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def served(view: str, status: str) -> float:
    return value(f'freshet_served_values_total{{feature_view="{view}",status="{status}"}}')


def test_every_value_is_counted_once_by_its_status() -> None:
    counters = ServedCounters(["hot_a", "hot_b", "hot_a"])
    counters.count(10, {3: [PRESENT, NULL, PRESENT], 4: [NULL, PRESENT, PRESENT]})
    assert served("hot_a", PRESENT) == 0
    hot_metrics.flush()
    hot_metrics.flush()
    assert (served("hot_a", PRESENT), served("hot_a", NULL)) == (19, 1)
    assert (served("hot_b", PRESENT), served("hot_b", NULL)) == (9, 1)


def test_a_plan_that_is_replaced_takes_no_counts_along() -> None:
    counters = ServedCounters(["hot_gone"])
    counters.count(7, {})
    del counters
    gc.collect()
    hot_metrics.flush()
    assert served("hot_gone", PRESENT) == 7
    ServedCounters(["hot_gone"]).count(1, {})
    hot_metrics.flush()
    assert served("hot_gone", PRESENT) == 8


class Broken:
    """What cannot be handed over; `after` is set by the flush that follows so many failures."""

    def __init__(self, times: int) -> None:
        self._times = times
        self.after = asyncio.Event()

    def flush(self) -> None:
        """Fail, or go well."""
        self._times -= 1
        hot_metrics.flush_once(self)
        if self._times >= 0:
            raise ValueError("zip() argument 2 is shorter than argument 1")
        self.after.set()


def test_a_flush_that_fails_does_not_end_flushing_and_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_metrics, "_FLUSH_INTERVAL", 0.0)

    async def until_it_goes_well() -> None:
        monkeypatch.setattr(hot_metrics, "_FLUSHED_ONCE", [broken := Broken(2)])
        task = asyncio.create_task(hot_metrics.keep_flushed())
        await asyncio.wait_for(broken.after.wait(), 5)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with structlog.testing.capture_logs() as logs:
        asyncio.run(until_it_goes_well())
    assert [(log["event"], log["exc_info"]) for log in logs] == [("metrics could not be handed over", True)]


def test_a_histogram_is_what_its_own_observe_would_make() -> None:
    hot = hot_metrics.HotHistogram(metrics.HTTP_REQUEST_DURATION.labels("hot", "GET", "200"))
    plain = metrics.HTTP_REQUEST_DURATION.labels("plain", "GET", "200")
    for seconds in (0.0001, 0.0005, 0.0006, 0.3, 99.0):
        hot.observe(seconds)
        plain.observe(seconds)
    hot_metrics.flush()
    lines = metrics.exposition().decode().splitlines()
    of = {route: [line for line in lines if f'route="{route}"' in line] for route in ("hot", "plain")}
    assert [line.replace("hot", "plain") for line in of["hot"]] == of["plain"]
    assert len(of["plain"]) == 17
