"""The skew monitor of a worker that cannot look, or is stopped: the lease goes to somebody else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.commands.worker_skew import WorkerSkew
from app.errors import StoreUnavailableError
from app.settings import Settings


class Leases:
    """Of a deployment in which nobody else wants one; `events` are what was asked for."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.given_back = threading.Event()

    def take(self, name: str, holder: str, term: timedelta, rank: int = 0) -> bool:
        """Implements app.freshness.ports.Leases."""
        self.events.append("take")
        return True

    def give_back(self, name: str, holder: str) -> None:
        """The same."""
        self.events.append("give back")
        self.given_back.set()


class Monitor:
    """One that says when it runs."""

    seconds_between_turns = 60.0

    def __init__(self) -> None:
        self.ran = threading.Event()

    def run_once(self) -> bool:
        """As SkewMonitor's."""
        self.ran.set()
        return True

    def stop(self) -> None:
        """As SkewMonitor's."""


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
def started(leases: Leases, tmp_path: Path) -> Iterator[Callable[..., WorkerSkew]]:
    """Starts a worker that opens its repo this way, after `wait` seconds."""
    workers = []

    def start(opening: Callable[[ExitStack], Any], interval: float = 0.01) -> WorkerSkew:
        settings = Settings(data_dir=tmp_path, skew_interval=timedelta(seconds=interval))
        worker = WorkerSkew(settings, None, "lab")  # type: ignore[arg-type]
        worker._leases = leases  # type: ignore[assignment]
        worker._open = opening  # type: ignore[method-assign,assignment]
        workers.append(worker)
        worker.start()
        return worker

    yield start
    for worker in workers:
        assert worker.stop(5)


def test_a_worker_that_cannot_open_the_repo_gives_the_lease_back_and_tries_again(
    started: Callable[..., WorkerSkew], leases: Leases
) -> None:
    monitor, tries = Monitor(), []

    def opening(opened: ExitStack) -> Monitor:
        tries.append(list(leases.events))
        if len(tries) == 1:
            raise StoreUnavailableError("the registry does not answer")
        return monitor

    started(opening)
    assert monitor.ran.wait(5)
    assert tries == [["take"], ["take", "give back", "take"]]


def test_a_worker_that_is_stopped_while_it_opens_the_repo_does_not_look(
    started: Callable[..., WorkerSkew], leases: Leases
) -> None:
    opening_began, monitor = threading.Event(), Monitor()

    def opening(opened: ExitStack) -> Monitor:
        opened.callback(leases.give_back, "skew", "me")
        opening_began.set()
        assert worker._stopping.wait(5)
        return monitor

    worker = started(opening, interval=0.2)
    assert opening_began.wait(5)
    assert worker.stop(5)
    assert leases.given_back.is_set()
    assert not monitor.ran.is_set()
