"""The benchmark runs from end to end: every contestant answers rightly, the tables come out. No speed is asserted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cases import CASES, COST
from benchmarks.exporting.cases import EXPORT_CASES
from benchmarks.exporting.cases import LABELS as EXPORT_LABELS
from benchmarks.pushing.cases import PUSH_CASES
from benchmarks.pushing.contestants import FEAST, PUSH_CONTESTANTS
from benchmarks.report import LABELS, report
from benchmarks.results import Pushes, PushSample, Record, Results, Sample, Soak, SoakPoint
from benchmarks.soak_verdict import judge

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks`, with temporary files below `folder`, load from Python where there is no wrk."""
    temporary = folder / "tmp"
    temporary.mkdir()
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.full
def test_a_quick_run_measures_every_contestant(tmp_path: Path) -> None:
    only = [f"--only={name}" for name in (*CASES, COST)]
    done = bench("--quick", *only, "--timeout", "10", "--output", str(tmp_path / "out"), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")
    for case in CASES.values():
        (_, _, section) = page.partition(f"## {case.title}\n")
        (section, _, _) = section.partition("\n## ")
        for contestant in case.contestants:
            (row,) = re.findall(rf"^\| {re.escape(LABELS[contestant])} \|.*$", section, re.MULTILINE)
            assert row.endswith("| 0 |"), f"{case.name}: requests failed: {row}"
    assert re.search(r"^\| 1,000 \| 9,000 \|", page, re.MULTILINE)
    raw = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert {one["failures"] for one in raw["run"]["samples"] + raw["run"]["costs"]} == {0}
    # The page comes from the record alone.
    assert report(Record.read(tmp_path / "out" / "results.json")).splitlines()[:4] == page.splitlines()[:4]
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.full
def test_a_quick_run_pushes_as_every_contestant(tmp_path: Path) -> None:
    only = [f"--only={name}" for name in PUSH_CASES]
    done = bench("--quick", *only, "--output", str(tmp_path / "out"), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")
    (pushes,) = Record.read(tmp_path / "out" / "results.json").pushes
    for case in PUSH_CASES.values():
        (_, _, section) = page.partition(f"### {case.title}\n")
        (section, _, _) = section.partition("\n##")
        for contestant in case.contestants:
            label = PUSH_CONTESTANTS[contestant].label
            assert len(re.findall(rf"^\| {re.escape(label)} \|.*$", section, re.MULTILINE)) == 1
    mine = [one for one in pushes.samples if PUSH_CONTESTANTS[one.contestant].server != FEAST]
    assert {(one.case, one.contestant) for one in mine} == {
        (case.name, name)
        for case in PUSH_CASES.values()
        for name in case.contestants
        if PUSH_CONTESTANTS[name].server != FEAST
    }
    # Nothing failed, every row was newer than what was stored, and the offline store has each of them once.
    assert {(one.failures, one.unapplied, one.lost, one.twice) for one in mine} == {(0, 0, 0, 0)}
    assert all(one.answered > 0 for one in pushes.samples if one.contestant != "feast" or one.case != "push-both")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.full
def test_a_short_soak_writes_its_section(tmp_path: Path) -> None:
    done = bench(
        "soak",
        "--minutes",
        "0.1",
        "--every",
        "0.5",
        "--users",
        "500",
        "--output",
        str(tmp_path / "out"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = Record.read(tmp_path / "out" / "results.json")
    assert record.soak is not None
    assert record.soak.failures == 0
    assert len(record.soak.points) >= 5
    assert "## Soak" in (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("per_minute", "descriptors", "flat"), [(0, 0, True), (2**20, 0, False), (0, 1, False), (-(2**20), 0, True)]
)
def test_the_verdict_of_a_soak(per_minute: int, descriptors: int, flat: bool) -> None:
    points = [SoakPoint(10.0 * n, 200 * 2**20 + n * per_minute // 6, 30 + n * descriptors // 6) for n in range(60)]
    soak = Soak({}, 100.0, 50.0, 50.0, 600.0, 30_000, 0, 0.001, 0.002, points)
    assert judge(soak).flat is flat


def test_a_warm_up_is_no_leak() -> None:
    points = [SoakPoint(10.0 * n, (100 + min(n, 10) * 10) * 2**20, 30) for n in range(60)]
    assert judge(Soak({}, 100.0, 50.0, 50.0, 600.0, 30_000, 0, 0.001, 0.002, points)).flat


def test_pushes_leave_what_they_did_not_measure_as_it_is(tmp_path: Path) -> None:
    read = Sample("one", "freshet", 0, 100, 0, 50.0, 0.001, 0.002, 0.5, 0.25, 0.125)
    push = PushSample("push-one", "freshet", 0, 10, 1, 4.5, 0.1, 0.2, 0.5, 0.25, 0.125, rows=7, answered=9, lost=3)
    batch, again = (replace(push, case="push-batch", rate=rate) for rate in (1.0, 2.0))
    first = Record(Results({"date": "then"}, [read]), None, [Pushes({"date": "now"}, [push, batch])])
    first.write(tmp_path / "results.json")
    assert Record.read(tmp_path / "results.json") == first
    both = Record(pushes=[Pushes({"date": "later"}, [again])]).over(first)
    assert both == Record(first.results, None, [Pushes({"date": "now"}, [push]), Pushes({"date": "later"}, [again])])
    page = report(both)
    assert "| freshet, POST | 50 | 50 - 50 |" in page
    assert "| freshet, JSON | 32 | 32 - 32 |" in page
    assert "| freshet, JSON | 14 | 14 - 14 |" in page


def test_rows_that_were_lost_miss_the_target() -> None:
    def page(lost: int, twice: int) -> str:
        push = PushSample(
            "push-both", "freshet", 0, 10, 1, 4.5, 0.1, 0.2, 0.5, 0.25, 0.1, answered=9, lost=lost, twice=twice
        )
        return report(Record(pushes=[Pushes({}, [push])]))

    assert "| 0 of 9 answered rows lost, 0 there twice | met |" in page(0, 0)
    assert "| 3 of 9 answered rows lost, 0 there twice | **not met** |" in page(3, 0)
    assert "| 0 of 9 answered rows lost, 2 there twice | **not met** |" in page(0, 2)


@pytest.mark.full
def test_a_quick_run_exports_as_every_contestant(tmp_path: Path) -> None:
    done = bench("exports", "--quick", "--output", str(tmp_path / "out"), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")
    exports = Record.read(tmp_path / "out" / "results.json").exports
    assert exports is not None
    found = {(one.case, one.contestant): one for one in exports.samples}
    assert set(found) == {(case.name, name) for case in EXPORT_CASES.values() for name in case.contestants}
    for (case, name), one in found.items():
        assert one.rows >= (5_000 if EXPORT_CASES[case].large else 1_000)
        assert one.peak > one.base > 0
        # The bare join takes any of the rows of a tie, and what is older than the ttl.
        assert (one.wrong > 0) is (name == "bare") or name == "feast"
        assert re.search(rf"^\| {re.escape(EXPORT_LABELS[name])} \|.*\| {one.rows:,} \| {one.wrong:,} \|", page, re.M)
    assert [one.beside for one in exports.serving] == ["nothing", "export", "export-nice"]
    assert all(one.requests > 0 and one.failures == 0 for one in exports.serving)
    assert [one.cpu_export > 0 for one in exports.serving] == [False, True, True]
    assert list((tmp_path / "tmp").iterdir()) == []
