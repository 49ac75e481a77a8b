"""A failed test is run again only where the machine was taken away: the same tests with and without stolen time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]
CONFTEST = """
import itertools
import pytest
from tests.held_up import RERUNS, HeldUp

clock = itertools.count()
held_up = HeldUp(lambda: (round(next(clock) * 100 * {share}), next(clock) * 100))

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=RERUNS, condition=held_up))

def pytest_runtest_setup(item):
    held_up.begin(item.nodeid)

def pytest_runtest_logreport(report):
    if report.outcome == "rerun":
        held_up.note()

def pytest_terminal_summary(terminalreporter):
    for line in held_up.reports:
        terminalreporter.write_line(line)
"""
TESTS = """
runs = []

def test_that_fails_once():
    runs.append(1)
    assert len(runs) > 1

def test_that_always_fails():
    assert False
"""


@pytest.mark.parametrize(
    ("share", "summary", "again"),
    [(0.0, "2 failed", 0), (0.5, "1 failed, 1 passed, 3 rerun", 3)],
)
def test_only_a_machine_that_was_taken_away_excuses(tmp_path: Path, share: float, summary: str, again: int) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.format(share=share))
    (tmp_path / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert f"{summary} in " in done.stdout
    assert done.stdout.count("of the CPU time was stolen: test_it.py::") == again
